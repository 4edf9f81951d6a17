"""Train and validation together, for a training that leaves nothing to validate on."""

from collections.abc import Iterator
from pathlib import Path

from trainables.data.dataset import prepare
from trainables.data.derived import Row, derive, row_of
from trainables.data.errors import DataError
from trainables.data.settings import DataSettings
from trainables.data.split_data import SplitData
from trainables.data.splits import Split


def prepare_joined(settings: DataSettings, cache: Path) -> SplitData:
    """The training images as a trial sees them, then all validation images with their masks; test is not touched.

    `data.fraction` and `data.clean` change what comes from training alone. Raises DataError for splits of other shapes.
    """
    # A cheaper evaluation size is nothing to train on.
    own_size = settings.model_copy(update={"eval_size": None})
    train, validation = (prepare(own_size, split, cache) for split in (Split.TRAIN, Split.VALIDATION))
    return joined(train, validation, cache)


def joined(train: SplitData, validation: SplitData, cache: Path) -> SplitData:
    """All images of both, in a cache folder of their own; the fingerprint stays that of `train`."""
    shapes = [data.images_NHWC.shape[1:] for data in (train, validation)]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"images of train are {shapes[0]} and of validation {shapes[1]} (height, width, channels): they cannot be "
            "trained on together; set data.size"
        )

    def rows() -> Iterator[Row]:
        for data in (train, validation):
            yield from (row_of(data, index) for index in range(len(data.names)))

    recipe = ["joined", validation.key, validation.fingerprint]
    keep_own = any(data.own_pixels is not None for data in (train, validation))
    return derive(train, recipe, rows, len(train.names) + len(validation.names), cache, keep_own=keep_own)
