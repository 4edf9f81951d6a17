"""Intervals of the test figures, as the record of a promotion keeps them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.promotion.intervals import LEAST_IMAGES, ImageCounts, Interval, iou_intervals, miou_interval
from studies.promotion.resampling import plan_resampling
from trainables.data.split_data import SplitData


def intervals_of_test(counts_NKK: NDArray[np.int64], data: SplitData, excluded: Sequence[int]) -> dict[str, Any]:
    """95 % intervals [low, high] of mIoU and of IoU per class (None where undefined), and how they were found.

    `unreliable` are the classes in fewer images than an interval needs.
    """
    counts = ImageCounts.of(counts_NKK, excluded)
    images = dict(zip(data.class_names, counts.images_K.tolist(), strict=True))
    found: dict[str, Any] = {
        "images_with": images,
        "unreliable": [name for name, count in images.items() if 0 < count < LEAST_IMAGES],
    }
    plan = plan_resampling(data.groups, counts.influence_N)
    if plan is None:
        return found | {"interval": None, "iou_interval": dict.fromkeys(images), "resampling": None}
    return found | {
        "interval": _pair(miou_interval(counts, plan)),
        "iou_interval": dict(zip(images, map(_pair, iou_intervals(counts, plan)), strict=True)),
        "resampling": {
            "words": plan.words,
            "groups": plan.groups,
            "block": plan.block,
            "conditional": plan.conditional,
            "resamples": len(plan.weights_BU),
        },
    }


def _pair(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
