"""Group k-fold: train and validation divided anew, each fold being the validation images of one training."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trainables.data.checks import Size
from trainables.data.derived import Row, derive, row_of
from trainables.data.errors import DataError
from trainables.data.settings import FoldSettings
from trainables.data.split_data import SplitData, resize_mask
from trainables.data.splits import Split

VERSION = 1  # part of the key: raise it when groups go to other folds


def folds_of(groups: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """The fold int64 [N] of each image, by whole groups: the largest first, each to the fold with the fewest images.

    The seed decides among groups of one size. Raises DataError where there are fewer groups than folds.
    """
    sizes = Counter(groups)
    if len(sizes) < folds:
        raise DataError(
            f"{folds} folds of whole groups need {folds} groups; train and validation together have {len(sizes)} "
            f"({', '.join(sorted(sizes)[:5])}{', ...' if len(sizes) > 5 else ''})"
        )
    names = sorted(sizes)
    names = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    held = [0] * folds
    owner: dict[str, int] = {}
    for name in sorted(names, key=lambda name: -sizes[name]):
        owner[name] = held.index(min(held))
        held[owner[name]] += sizes[name]
    return np.array([owner[group] for group in groups], dtype=np.int64)


def fold_part(
    parts: Sequence[SplitData], split: Split, fold: FoldSettings, seed: int, eval_size: Size | None, cache: Path
) -> SplitData:
    """The train or validation images of one fold, of `parts` that are train and validation with masks at own sizes.

    It keeps the fingerprint of the split whose place it takes: together the two tell what all folds are made of.
    """
    train, validation = parts
    shapes = [data.images_NHWC.shape[1:] for data in parts]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"images of train are {shapes[0]} and of validation {shapes[1]} (height, width, channels): folds cannot be "
            "made of both; set data.size"
        )
    groups = [*train.groups, *validation.groups]
    held_out_N = folds_of(groups, fold.of, seed) == fold.index
    chosen = np.flatnonzero(held_out_N if split is Split.VALIDATION else ~held_out_N).tolist()
    own_size = eval_size if split is Split.VALIDATION else None

    def rows() -> Iterator[Row]:
        for index in chosen:
            first = index < len(train.names)
            row = row_of(train, index) if first else row_of(validation, index - len(train.names))
            yield row if own_size is None else row._replace(own_mask_HW=resize_mask(row.own_mask_HW, own_size))

    recipe = ["fold", VERSION, validation.key, validation.fingerprint, split, fold.model_dump(), seed, own_size]
    keep_own = own_size is not None or any(data.own_pixels is not None for data in parts)
    found = derive(train, recipe, rows, len(chosen), cache, keep_own=keep_own)
    return replace(found, fingerprint=parts[split is Split.VALIDATION].fingerprint)
