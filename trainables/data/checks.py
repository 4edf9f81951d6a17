"""Checks of image and mask pairs; every finding names its file and what to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from trainables.data.errors import DataError
from trainables.data.formats.protocol import Dataset
from trainables.data.splits import IGNORE, Sample

Size = tuple[int, int]


@dataclass(frozen=True)
class Headers:
    """What the files' headers tell of a split."""

    findings: tuple[str, ...]
    sizes: tuple[Size, ...]
    channels: int


def unpaired(dataset: Dataset, samples: Iterable[Sample]) -> list[str]:
    """A finding for each image without a mask and each mask without an image; opens nothing."""
    return [finding for sample in samples if (finding := dataset.missing(sample))]


def read_headers(dataset: Dataset, samples: Sequence[Sample], size: Size | None) -> Headers:
    """Sizes and channels of all pairs; findings for unreadable files, differing sizes of a pair, and of images.

    Without `size` all images must be of one size. A split with a colour image is a colour split.
    """
    findings = []
    sizes: list[Size] = []
    channels = 1
    for sample in samples:
        try:
            (height, width, depth), mask_size = dataset.shapes(sample)
        except DataError as error:
            findings.append(str(error))
            continue
        channels = max(channels, depth)
        sizes.append((height, width))
        if mask_size != (height, width):
            findings.append(
                f"mask of {sample.name!r} is {mask_size[0]}x{mask_size[1]} (height x width) but its image is "
                f"{height}x{width}: they must be of one size"
            )
        elif size is None and sizes[0] != (height, width):
            findings.append(
                f"image {sample.name!r} is {height}x{width} (height x width) but the first is "
                f"{sizes[0][0]}x{sizes[0][1]}: set data.size to resize all to one size"
            )
    return Headers(tuple(findings), tuple(sizes), channels)


def checked_mask(sample: Sample, mask_HW: np.ndarray, classes: int, ignored: frozenset[int]) -> np.ndarray:
    """The mask as uint8 with every ignored label as 255; DataError for a label that is neither class nor ignored."""
    present = {int(label) for label in np.unique(mask_HW)}
    beyond = sorted(label for label in present - ignored if not 0 <= label < classes)
    if beyond:
        skipped = " and ".join(str(label) for label in sorted(ignored))
        raise DataError(
            f"mask of {sample.name!r} has label {', '.join(map(str, beyond))}: accepted are 0 to {classes - 1} "
            f"({classes} classes) and {skipped} (ignored); set data.classes or data.ignore_index"
        )
    return np.where(np.isin(mask_HW, sorted(ignored)), IGNORE, mask_HW).astype(np.uint8)


def read_pair(
    dataset: Dataset, sample: Sample, classes: int, ignored: frozenset[int]
) -> tuple[tuple[np.ndarray, np.ndarray] | None, list[str]]:
    """Image [H, W, C] and checked mask [H, W], or None and what is wrong with either."""
    image = mask = None
    findings = []
    try:
        image = dataset.image(sample)
    except DataError as error:
        findings.append(str(error))
    try:
        mask = checked_mask(sample, dataset.mask(sample), classes, ignored)
    except DataError as error:
        findings.append(str(error))
    return (None if image is None or mask is None else (image, mask)), findings
