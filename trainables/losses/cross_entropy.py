"""Cross-entropy, weighted by class."""

from collections.abc import Mapping

import torch

from trainables.losses.scores import Scores
from trainables.losses.settings import CrossEntropySettings
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
        pixels_K = scores.target.pixels_K
        if self._weights_K is None:
            total, weight = scores.loss_BHW.sum(), pixels_K.sum()
        else:
            total, weight = scores.weighted_loss_BHW(self._weights_K).sum(), pixels_K @ self._weights_K
        if self._smoothing:
            total = torch.lerp(total, self._spread(scores), self._smoothing)
        return torch.stack([total, weight])

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """Mean loss."""
        return ratio(statistics[0], statistics[1])

    def _spread(self, scores: Scores) -> torch.Tensor:
        """The loss of targets spread evenly over the classes."""
        losses_K = -scores.valid_sums_K(scores.log_chance_BKHW)
        return losses_K.mean() if self._weights_K is None else (losses_K * self._weights_K).mean()
