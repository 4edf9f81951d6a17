"""Focal loss, weighted by class."""

from collections.abc import Mapping

import torch

from trainables.losses.scores import Scores
from trainables.losses.settings import FocalSettings
from trainables.losses.target import Target
from trainables.losses.terms import ratio


class Focal:
    """-(1 - p_y)^gamma w_y log p_y (Lin et al. 2017), summed and divided by the sum of the valid pixels' weights w_y.

    With gamma 0 it is the cross-entropy. The class weights take the place of the paper's alpha.
    """

    def __init__(self, settings: FocalSettings, weights_K: torch.Tensor | None) -> None:
        self._gamma = settings.gamma
        self._weights_K = weights_K

    @property
    def parameters(self) -> Mapping[str, float]:
        """The exponent."""
        return {"gamma": self._gamma}

    def statistics(self, scores: Scores) -> torch.Tensor:
        """[sum of weighted losses, sum of weights]."""
        losses_BHW = scores.loss_BHW if self._weights_K is None else scores.weighted_loss_BHW(self._weights_K)
        # 1 - p without cancellation. Powers below 1 have no finite slope at 0, where certain and ignored pixels are.
        doubt_BHW = -torch.expm1(-scores.loss_BHW)
        doubt_BHW = doubt_BHW.clamp_min(torch.finfo(doubt_BHW.dtype).tiny)
        return torch.stack([(losses_BHW * doubt_BHW**self._gamma).sum(), self.weight(scores.target)])

    def weight(self, target: Target) -> torch.Tensor:
        """The sum of the valid pixels' class weights."""
        pixels_K = target.pixels_K
        return pixels_K.sum() if self._weights_K is None else pixels_K.to(self._weights_K) @ self._weights_K

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """Mean loss."""
        return ratio(statistics[0], statistics[1])
