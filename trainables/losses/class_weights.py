"""Class weights from the pixels of the training split."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.losses.terms import LossError


class AbsentClassWarning(UserWarning):
    """A class has no valid training pixel; its weight is 0."""


def _inverse(pixels_K: NDArray[np.int64], images_K: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 / p."""
    weights_K: NDArray[np.float64] = pixels_K.sum() / pixels_K
    return weights_K


def _complement(pixels_K: NDArray[np.int64], images_K: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 - p."""
    weights_K: NDArray[np.float64] = 1 - pixels_K / pixels_K.sum()
    return weights_K


# Each is called with the present classes only: valid pixels, and images that contain the class.
SCHEMES: dict[str, Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]] = {
    "inverse": _inverse,
    "complement": _complement,
}


def class_weights(
    name: str, pixels_K: NDArray[np.int64], images_K: NDArray[np.int64], class_names: Sequence[str]
) -> NDArray[np.float64] | None:
    """Weights of a scheme, scaled to mean 1 over the present classes; None for `none`.

    A class without a valid training pixel gets 0 and an AbsentClassWarning. Raises LossError if all weights are 0.
    """
    if name == "none":
        return None
    present_K = pixels_K > 0
    weights_K = np.zeros(len(pixels_K))
    weights_K[present_K] = SCHEMES[name](pixels_K[present_K], images_K[present_K])
    total = weights_K.sum()
    if total == 0:
        raise LossError(
            f"loss.class_weights: {name} gives no class a weight, for the training pixels are all of one class; set it "
            "to none"
        )
    if not present_K.all():
        absent = [name for name, present in zip(class_names, present_K, strict=True) if not present]
        warnings.warn(
            f"no valid training pixel of {', '.join(absent)}: class weight 0", AbsentClassWarning, stacklevel=2
        )
    scaled_K: NDArray[np.float64] = weights_K * (present_K.sum() / total)
    return scaled_K
