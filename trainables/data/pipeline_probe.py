"""Whether an augmentation pipeline that is not one of ours can be trusted with images and masks."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import cv2
import numpy as np

from trainables.data.errors import DataError
from trainables.data.splits import IGNORE

if TYPE_CHECKING:
    from albumentations import Compose

SETTING = "augment.pipeline"
# What albumentations raises for arguments that it cannot use, while it builds a transform or only when it is applied.
FAILURES = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, UserWarning, cv2.error)
DRAWS = 16
LABELS = 5


def probe(pipeline: Compose, always: Compose, size: tuple[int, int], channels: int, setting: str = SETTING) -> None:
    """Raise DataError unless images keep size and type, and masks their labels; `always` leaves nothing to chance.

    A transform that only moves labels gives relabelled masks where it gets relabelled masks: one that interpolates
    labels, takes their largest, or fills in a class does not.
    """
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, channels), dtype=np.uint8)
    mask = rng.integers(0, LABELS, size, dtype=np.uint8)
    mask[rng.random(size) < 1 / (LABELS + 1)] = IGNORE
    other = np.arange(256, dtype=np.uint8)
    other[:LABELS] = other[:LABELS][::-1]
    for draw in range(DRAWS):
        _apply(pipeline, image, mask, draw, setting)
        moved = _apply(always, image, mask, draw, setting)
        relabelled = _apply(always, image, other[mask], draw, setting)
        if (other[moved] != relabelled).any() or not np.isin(moved, mask).all():
            raise DataError(
                f"{setting}: it changes the labels of masks instead of moving them; leave out the transforms that do, "
                f"such as Morphological, MaskDropout and those that fill in another label than {IGNORE}"
            )


def _apply(pipeline: Compose, image: np.ndarray, mask: np.ndarray, draw: int, setting: str) -> np.ndarray:
    # augment.py builds its pipelines with this module.
    from albumentations.augmentations.crops.transforms import CropSizeError

    from trainables.data.augment import augment

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            new_image, new_mask = augment(pipeline, image.copy(), mask.copy(), (draw,))
    except (*FAILURES, CropSizeError) as error:
        raise refused_by_albumentations(
            f"it cannot be applied to images of {_words(image)} and their masks", error, setting
        ) from error
    if new_image.shape != image.shape or new_mask.shape != mask.shape or new_image.dtype != np.uint8:
        raise DataError(
            f"{setting}: images of {_words(image)} come out as {_words(new_image)} {new_image.dtype}; all must keep "
            "their size: end with a Resize, or let data.size resize them; normalisation is left to data.normalize"
        )
    return new_mask


def refused_by_albumentations(what: str, error: BaseException, setting: str = SETTING) -> DataError:
    """The library's own words, on one line."""
    return DataError(f"{setting}: {what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _words(image: np.ndarray) -> str:
    return "x".join(map(str, image.shape))
