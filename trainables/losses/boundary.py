"""Boundary loss."""

from collections.abc import Mapping

import torch

from trainables.losses.scores import Scores
from trainables.losses.settings import BoundarySettings
from trainables.losses.target import Target
from trainables.losses.terms import ratio


class Boundary:
    """Sum over classes of d_k p_k, the mean over valid pixels; d is the signed distance, p the softmax.

    After Kervadec et al. (2019): the softmax is paid for by its distance outside a class and rewarded within it.
    Distances are of the masks as they come, after augmentation, in image diagonals, so that the value does not depend
    on resolution; it may be below 0. Summed over classes, where the authors' code takes the mean: classes that are
    absent would lessen it. Class weights do not enter.
    """

    def __init__(self, settings: BoundarySettings, weights_K: torch.Tensor | None) -> None:
        self._warmup_epochs = settings.warmup_epochs

    @property
    def parameters(self) -> Mapping[str, float]:
        """Epochs over which its weight grows."""
        return {"warmup_epochs": self._warmup_epochs}

    def statistics(self, scores: Scores) -> torch.Tensor:
        """[sum of products, valid pixels]."""
        # The host computes the distances while the device is still at what came before.
        distances_BKHW = scores.target.distances_BKHW
        return torch.stack([(distances_BKHW * scores.chance_BKHW).sum(), self.weight(scores.target)])

    def weight(self, target: Target) -> torch.Tensor:
        """The number of valid pixels."""
        return target.pixels_K.sum()

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """Mean over pixels."""
        return ratio(statistics[0], statistics[1])
