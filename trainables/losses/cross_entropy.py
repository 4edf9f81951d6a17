"""Cross-entropy, weighted by class."""

import torch

from trainables.losses.scores import Scores
from trainables.losses.settings import CrossEntropySettings
from trainables.losses.terms import ratio


class CrossEntropy:
    """Negative log-likelihood of the target class, its sum divided by the sum of the valid pixels' class weights."""

    def __init__(self, settings: CrossEntropySettings, weights_K: torch.Tensor | None) -> None:
        self._weights_K = weights_K

    def statistics(self, scores: Scores) -> torch.Tensor:
        """[sum of weighted losses, sum of weights]."""
        if self._weights_K is None:
            return torch.stack([scores.loss_BHW.sum(), scores.pixels_K.sum()])
        return torch.stack([scores.weighted_loss_BHW(self._weights_K).sum(), scores.pixels_K @ self._weights_K])

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """Mean loss."""
        return ratio(statistics[0], statistics[1])
