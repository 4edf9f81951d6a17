"""mIoU from one confusion matrix of counts over all images; nothing is rounded or clamped."""

import math
from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.splits import IGNORE


class MetricError(ValueError):
    """The metric cannot be computed as asked."""


class ConfusionMatrix:
    """Counts of (target, prediction) pairs over valid pixels, kept on the device.

    `ignore_target` holds label ids whose target pixels leave the matrix, like those of IGNORE. Raises MetricError at
    `counts_KK` if a target label was neither a class nor IGNORE.
    """

    def __init__(self, classes: int, device: torch.device, ignore_target: Collection[int] = ()) -> None:
        self._classes = classes
        # Rows: the classes, then labels that are no class, then ignored pixels. Index arithmetic in the narrowest type
        # that holds all indices is what makes it fast.
        self._rows = classes + 2
        self._index_type = torch.int16 if self._rows * classes <= torch.iinfo(torch.int16).max else torch.int32
        self._ignored = tuple(ignore_target)
        self._counts = torch.zeros(self._rows * classes, dtype=torch.int64, device=device)

    def update(self, prediction_BHW: torch.Tensor, target_BHW: torch.Tensor) -> None:
        """Add the pixels of integer predictions (0 to K - 1) against a uint8 target of the same shape."""
        if prediction_BHW.shape != target_BHW.shape:
            raise MetricError(
                f"predictions {tuple(prediction_BHW.shape)} and target {tuple(target_BHW.shape)} must have one shape; "
                "resize the logits to the target's size"
            )
        rows_BHW = target_BHW.clamp_max(self._classes).to(self._index_type)
        rows_BHW.masked_fill_(target_BHW == IGNORE, self._classes + 1)
        for label in self._ignored:
            rows_BHW.masked_fill_(target_BHW == label, self._classes + 1)
        index = rows_BHW.mul_(self._classes).add_(prediction_BHW.to(self._index_type))
        self._counts += torch.bincount(index.flatten(), minlength=self._counts.numel())

    @property
    def counts_KK(self) -> torch.Tensor:
        """int64 counts [K, K], rows target, columns prediction."""
        table = self._counts.reshape(self._rows, self._classes)
        if strays := int(table[self._classes].sum()):
            raise MetricError(
                f"{strays} target pixels carry labels beyond the {self._classes} classes; check data.classes and "
                "data.ignore_index"
            )
        return table[: self._classes].clone()


def iou_K(counts_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU per class, NaN for a class in neither target nor prediction."""
    hits_K = np.diagonal(counts_KK)
    union_K = counts_KK.sum(0) + counts_KK.sum(1) - hits_K
    result_K = np.full(len(hits_K), np.nan)
    np.divide(hits_K, union_K, out=result_K, where=union_K > 0)
    return result_K


def mean_iou(values_K: NDArray[np.float64], present_K: NDArray[np.bool_], exclude: Collection[int] = ()) -> float:
    """Mean IoU over the classes with a valid target pixel in the split that are not excluded.

    Raises MetricError if no class is left.
    """
    counted = [float(value) for k, value in enumerate(values_K) if present_K[k] and k not in exclude]
    if not counted:
        raise MetricError(
            "no class of this split counts in mIoU: it has no valid target pixel outside metric.exclude and "
            "metric.ignore_target"
        )
    return math.fsum(counted) / len(counted)


def miou_of(counts_KK: NDArray[np.int64], exclude: Collection[int] = ()) -> float:
    """mIoU of a whole split's counts, whose rows say which classes are present."""
    return mean_iou(iou_K(counts_KK), counts_KK.sum(1) > 0, exclude)


def pixel_accuracy(counts_KK: NDArray[np.int64]) -> float:
    """Share of valid target pixels that are predicted right; NaN without any."""
    total = int(counts_KK.sum())
    return int(np.trace(counts_KK)) / total if total else math.nan
