"""A few validation images with their predictions, the same images in every trial of a study."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainables.data.split_data import SplitData
from trainables.protocol import Pictures

PICTURES = 4


def shown_indices(data: SplitData, count: int = PICTURES) -> tuple[int, ...]:
    """At most `count` indices, evenly spaced over the split."""
    spaced = np.linspace(0, len(data.names) - 1, min(count, len(data.names)))
    return tuple(int(index) for index in spaced.round())


def take_pictures(data: SplitData, predictions: Mapping[int, NDArray[np.uint8]]) -> Pictures:
    """Images, masks and predictions of the predicted indices."""
    indices = sorted(predictions)
    return Pictures(
        names=tuple(data.names[index] for index in indices),
        images=tuple(np.array(data.images_NHWC[index]) for index in indices),
        truths=tuple(data.own_mask(index) for index in indices),
        predictions=tuple(predictions[index] for index in indices),
    )
