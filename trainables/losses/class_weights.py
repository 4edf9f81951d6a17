"""Class weights from the pixels of the training images as they are shown."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.class_names import label_ids
from trainables.losses.settings import LossSettings
from trainables.losses.terms import LossError


class AbsentClassWarning(UserWarning):
    """A class has no valid training pixel; its weight is 0."""


class Counts(NamedTuple):
    """Over an epoch's training images, for each present class."""

    pixels_K: NDArray[np.int64]  # its valid pixels
    images_K: NDArray[np.int64]  # the images that contain it
    area_K: NDArray[np.int64]  # all valid pixels of those images
    by_hand_K: NDArray[np.float64]  # loss.weights_by_hand


Weights = NDArray[np.float64]


def _inverse(counts: Counts, settings: LossSettings) -> Weights:
    """1 / p."""
    weights_K: Weights = counts.pixels_K.sum() / counts.pixels_K
    return weights_K


def _complement(counts: Counts, settings: LossSettings) -> Weights:
    """1 - p."""
    weights_K: Weights = 1 - counts.pixels_K / counts.pixels_K.sum()
    return weights_K


def _median_frequency(counts: Counts, settings: LossSettings) -> Weights:
    """median f / f, where f is the share of a class in the images that contain it (Eigen and Fergus 2015)."""
    share_K = counts.pixels_K / counts.area_K
    weights_K: Weights = np.median(share_K) / share_K
    return weights_K


def _effective_number(counts: Counts, settings: LossSettings) -> Weights:
    """(1 - b) / (1 - b^m) (Cui et al. 2019) with m images: over millions of pixels b^m is 0 for every class."""
    beta = settings.effective_number_beta
    weights_K: Weights = (1 - beta) / (1 - beta ** counts.images_K.astype(np.float64))
    return weights_K


def _by_hand(counts: Counts, settings: LossSettings) -> Weights:
    """As set."""
    return counts.by_hand_K


SCHEMES: dict[str, Callable[[Counts, LossSettings], Weights]] = {
    "inverse": _inverse,
    "complement": _complement,
    "median_frequency": _median_frequency,
    "effective_number": _effective_number,
    "by_hand": _by_hand,
}


def class_weights(
    settings: LossSettings,
    pixels_NK: NDArray[np.int64],
    class_names: Sequence[str],
    shown_N: NDArray[np.int64] | None = None,
) -> Weights | None:
    """Weights of `loss.class_weights`, scaled to mean 1 over the present classes; None for `none`.

    `pixels_NK` are the valid pixels of each class in each training image, `shown_N` how often each image comes in an
    epoch (once, if not given): copies count. The pixels of `loss.ignore_target` do not. A class without a pixel gets 0,
    and an AbsentClassWarning unless it is ignored on purpose. Raises LossError for unknown names and if all weights
    are 0.
    """
    ignored = label_ids(settings.ignore_target, class_names, "loss.ignore_target")
    by_hand_K = np.ones(len(class_names))
    named = label_ids(settings.weights_by_hand, class_names, "loss.weights_by_hand")
    by_hand_K[list(named)] = list(settings.weights_by_hand.values())
    counted_NK = np.array(pixels_NK)
    counted_NK[:, list(ignored)] = 0
    shown_N = np.ones(len(counted_NK), dtype=np.int64) if shown_N is None else shown_N
    present_K = shown_N @ counted_NK > 0
    if not present_K.any():
        raise LossError("loss.ignore_target: no training pixel is left; ignore fewer classes")
    if settings.class_weights == "none":
        return None
    counted_NK = counted_NK[:, present_K]
    counts = Counts(
        pixels_K=shown_N @ counted_NK,
        images_K=shown_N @ (counted_NK > 0),
        area_K=(shown_N * counted_NK.sum(1)) @ (counted_NK > 0),
        by_hand_K=by_hand_K[present_K],
    )
    weights_K = np.zeros(len(class_names))
    weights_K[present_K] = SCHEMES[settings.class_weights](counts, settings)
    total = weights_K.sum()
    if total == 0:
        raise LossError(
            f"loss.class_weights: {settings.class_weights} gives no class in the training pixels a weight; set it to "
            "none, or give more classes a weight"
        )
    if absent := [name for k, name in enumerate(class_names) if not present_K[k] and k not in ignored]:
        warnings.warn(
            f"no valid training pixel of {', '.join(absent)}: class weight 0", AbsentClassWarning, stacklevel=2
        )
    scaled_K: Weights = weights_K * (present_K.sum() / total)
    return scaled_K
