"""Intervals of mIoU and of IoU per class from per-image confusion matrices; torch is not needed here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from studies.promotion.resampling import LEAST_GROUPS, Resampling

LEVEL = 0.95
# A class in fewer images than this has an IoU whose interval is not to be relied on.
LEAST_IMAGES = 25


@dataclass(frozen=True)
class ImageCounts:
    """What IoU needs of every image: right pixels, union, and target pixels per class, int64 [N, K].

    `counted_K` are the classes of the mean: those with a target pixel in the split that are not excluded; they are the
    same in every resample.
    """

    hits_NK: NDArray[np.int64]
    unions_NK: NDArray[np.int64]
    targets_NK: NDArray[np.int64]
    counted_K: NDArray[np.bool_]

    @classmethod
    def of(cls, counts_NKK: NDArray[np.int64], exclude: Sequence[int] = ()) -> "ImageCounts":
        """Of confusion matrices per image, rows target."""
        hits_NK = np.diagonal(counts_NKK, axis1=1, axis2=2)
        targets_NK = counts_NKK.sum(axis=2)
        counted_K = targets_NK.sum(axis=0) > 0
        counted_K[list(exclude)] = False
        return cls(hits_NK, targets_NK + counts_NKK.sum(axis=1) - hits_NK, targets_NK, counted_K)

    @property
    def iou_K(self) -> NDArray[np.float64]:
        """IoU per class over all images, NaN for one in neither target nor prediction."""
        return _divide(self.hits_NK.sum(axis=0), self.unions_NK.sum(axis=0))

    @property
    def miou(self) -> float:
        """Mean of the counted classes' IoU over all images."""
        return float(self.iou_K[self.counted_K].mean())

    @property
    def images_K(self) -> NDArray[np.int64]:
        """Images in which each class has a target pixel."""
        return np.asarray((self.targets_NK > 0).sum(axis=0))

    @property
    def influence_N(self) -> NDArray[np.float64]:
        """What each image adds to mIoU, linearised: the mean over classes of (hits - IoU union) / union of all."""
        kept = self.counted_K
        unions_K = self.unions_NK[:, kept].sum(axis=0)
        rest_NK = self.hits_NK[:, kept] - self.iou_K[kept] * self.unions_NK[:, kept]
        return np.asarray((rest_NK / unions_K).mean(axis=1))


@dataclass(frozen=True)
class Interval:
    """An estimate, its standard error and its 95 % interval."""

    value: float
    se: float
    low: float
    high: float


def resampled_iou(counts: ImageCounts, plan: Resampling) -> NDArray[np.float64]:
    """IoU per resample and class [B, K].

    A class without a target pixel in a resample keeps there its IoU over all images, so that the mean is over the same
    classes everywhere.
    """
    hits_BK, unions_BK, targets_BK = (
        plan.weights_BU @ plan.sums(of) for of in (counts.hits_NK, counts.unions_NK, counts.targets_NK)
    )
    return np.where(targets_BK > 0, _divide(hits_BK, unions_BK), counts.iou_K)


def resampled_miou(counts: ImageCounts, plan: Resampling) -> NDArray[np.float64]:
    """The data set's mIoU per resample [B]."""
    return np.asarray(resampled_iou(counts, plan)[:, counts.counted_K].mean(axis=1))


def miou_interval(counts: ImageCounts, plan: Resampling) -> Interval:
    """The interval of mIoU."""
    return interval_of(counts.miou, resampled_miou(counts, plan), plan.factor, miou_df(counts, plan))


def iou_intervals(counts: ImageCounts, plan: Resampling) -> list[Interval | None]:
    """The interval of each class's IoU, None where the class has no target pixel."""
    iou_BK, iou_K = resampled_iou(counts, plan), counts.iou_K
    df_K = [_df(plan, groups, 1) for groups in groups_of_classes(counts, plan)]
    return [
        interval_of(float(iou_K[k]), iou_BK[:, k], plan.factor, df_K[k]) if images else None
        for k, images in enumerate(counts.images_K)
    ]


def miou_df(counts: ImageCounts, plan: Resampling) -> int:
    """Degrees of freedom of mIoU's standard error: the groups that have the rarest class of the mean, less one.

    At least nine where there are ten groups, since the other classes are in more.
    """
    rarest = int(groups_of_classes(counts, plan)[counts.counted_K].min())
    return _df(plan, rarest, min(plan.df, LEAST_GROUPS - 1))


def groups_of_classes(counts: ImageCounts, plan: Resampling) -> NDArray[np.int64]:
    """Groups in which each class has a target pixel [K]."""
    found = np.zeros((plan.groups, counts.targets_NK.shape[1]), dtype=np.int64)
    np.add.at(found, plan.group_N, counts.targets_NK)
    return np.asarray((found > 0).sum(axis=0))


def interval_of(value: float, resampled_B: NDArray[np.float64], factor: float, df: int) -> Interval:
    """Student's interval of an IoU on the logit scale, so that it stays between 0 and 1.

    Its coverage is simulated by benchmarks/coverage.py. An IoU of 0 or 1 has no width.
    """
    se = factor * float(resampled_B.std(ddof=1))
    if not 0 < value < 1:
        return Interval(value, se, value, value)
    half = float(student_t.ppf((1 + LEVEL) / 2, df)) * se / (value * (1 - value))
    at = math.log(value / (1 - value))
    return Interval(value, se, _logistic(at - half), _logistic(at + half))


def _df(plan: Resampling, groups: int, least: int) -> int:
    return plan.df if plan.block is not None else max(least, groups - 1)


def _divide(above: NDArray[np.generic], below: NDArray[np.generic]) -> NDArray[np.float64]:
    found = np.full(above.shape, np.nan)
    np.divide(above, below, out=found, where=np.asarray(below) > 0)
    return found


def _logistic(x: float) -> float:
    # tanh does not overflow where a wide interval reaches far out.
    return 0.5 * (1 + math.tanh(x / 2))
