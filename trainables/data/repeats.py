"""How often each training image is shown in an epoch, and the leaking split of a published report."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.class_names import label_ids
from trainables.data.augment_settings import AugmentSettings, OversampleSettings
from trainables.data.derived import Row, derive, row_of
from trainables.data.split_data import SplitData


def shown_per_epoch(settings: AugmentSettings, data: SplitData) -> NDArray[np.int64]:
    """int64 [N]: `copies` for every image, `oversample.times` as often for those with one of its classes.

    Raises ClassNameError for a name that is no class.
    """
    shown_N = np.full(len(data.names), settings.copies, dtype=np.int64)
    shown_N[_with_classes(settings.oversample, data)] *= settings.oversample.times
    return shown_N


def leaked(settings: OversampleSettings, train: SplitData, validation: SplitData, cache: Path) -> SplitData:
    """The training images, and the validation images that hold an oversampled class.

    One Mars report oversampled before it split: augmented copies were trained on while their originals were validated.
    This makes that mistake on purpose, so that a table can show what it is worth.
    """
    leaking = _with_classes(settings, validation)

    def rows() -> Iterator[Row]:
        yield from (row_of(train, index) for index in range(len(train.names)))
        yield from (row_of(validation, int(index)) for index in leaking)

    recipe = ["leaked", validation.key, validation.fingerprint, leaking.tolist()]
    return derive(train, recipe, rows, len(train.names) + len(leaking), cache)


def _with_classes(settings: OversampleSettings, data: SplitData) -> NDArray[np.intp]:
    """Indices of the images that hold a valid pixel of one of the classes."""
    labels = label_ids(settings.classes, data.class_names, "augment.oversample.classes")
    return np.flatnonzero(data.presence_NK[:, list(labels)].any(axis=1))
