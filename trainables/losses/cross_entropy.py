"""Cross-entropy, weighted by class."""

from collections.abc import Mapping

import torch

from trainables.losses.scores import Scores
from trainables.losses.settings import CrossEntropySettings
from trainables.losses.target import Target
from trainables.losses.terms import ratio


class CrossEntropy:
    """Negative log-likelihood of the target class, its sum divided by the sum of the valid pixels' class weights.

    Smoothing e spreads a share of each pixel's target over all classes (Szegedy et al. 2016): a pixel's loss is
    -(1 - e) w_y log p_y - e / K sum_k w_k log p_k, as torch's own.
    """

    def __init__(self, settings: CrossEntropySettings, weights_K: torch.Tensor | None) -> None:
        self._smoothing = settings.label_smoothing
        self._weights_K = weights_K

    @property
    def parameters(self) -> Mapping[str, float]:
        """The share of the target that is spread."""
        return {"label_smoothing": self._smoothing}

    def statistics(self, scores: Scores) -> torch.Tensor:
        """[sum of weighted losses, sum of weights]."""
        losses_BHW = scores.loss_BHW if self._weights_K is None else scores.weighted_loss_BHW(self._weights_K)
        total = losses_BHW.sum()
        if self._smoothing:
            total = torch.lerp(total, self._spread(scores), self._smoothing)
        return torch.stack([total, self.weight(scores.target)])

    def weight(self, target: Target) -> torch.Tensor:
        """The sum of the valid pixels' class weights."""
        pixels_K = target.pixels_K
        return pixels_K.sum() if self._weights_K is None else pixels_K.to(self._weights_K) @ self._weights_K

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """Mean loss."""
        return ratio(statistics[0], statistics[1])

    def _spread(self, scores: Scores) -> torch.Tensor:
        """The loss of targets spread evenly over the classes."""
        losses_K = -scores.valid_sums_K(scores.log_chance_BKHW)
        return losses_K.mean() if self._weights_K is None else (losses_K * self._weights_K).mean()
