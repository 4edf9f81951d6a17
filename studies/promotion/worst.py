"""The images of a split that a model predicts worst, by the mIoU of each image alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dashboards.extremes import image_iou_NK


def image_mious(counts_NKK: NDArray[np.int64], excluded: Sequence[int] = ()) -> NDArray[np.float64]:
    """mIoU [N] of each image by its confusion matrix: over the classes with a target pixel in it that count.

    NaN for an image without any. It orders images; the split's mIoU is no mean of these.
    """
    iou_NK = image_iou_NK(counts_NKK)
    counted_NK = ~np.isnan(iou_NK)
    counted_NK[:, list(excluded)] = False
    sums_N = np.where(counted_NK, iou_NK, 0.0).sum(axis=1)
    found_N = np.full(len(sums_N), np.nan)
    np.divide(sums_N, counted_NK.sum(axis=1), out=found_N, where=counted_NK.any(axis=1))
    return found_N


def worst_images(mious_N: NDArray[np.float64], names: Sequence[str], count: int) -> list[int]:
    """Indices of at most `count` images with the lowest mIoU, worst first, equal ones by name; none without an mIoU."""
    known = [(float(miou), names[index], index) for index, miou in enumerate(mious_N) if not np.isnan(miou)]
    return [index for _, _, index in sorted(known)[:count]]
