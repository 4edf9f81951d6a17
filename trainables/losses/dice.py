"""Soft dice."""

from collections.abc import Mapping

import torch

from trainables.losses.scores import Scores
from trainables.losses.settings import DiceSettings
from trainables.losses.terms import ratio


class Dice:
    """1 - 2 sum(p t) / (sum(p) + sum(t)) over valid pixels, the mean over the classes with a target pixel.

    p is the softmax, t the target as 0 or 1 (Milletari et al. 2016, with the sums of Sudre et al. 2017). Class weights
    do not enter: dice weighs classes evenly already.
    """

    def __init__(self, settings: DiceSettings, weights_K: torch.Tensor | None) -> None:
        pass

    @property
    def parameters(self) -> Mapping[str, float]:
        """It has none."""
        return {}

    def statistics(self, scores: Scores) -> torch.Tensor:
        """[3, K]: sum(p t), sum(p), sum(t)."""
        target = scores.target
        # The target class's p is known from its loss.
        target_chance_BHW = torch.exp(-scores.loss_BHW)
        hits_K = torch.stack([(target_chance_BHW * (target.masks_BHW == k)).sum() for k in range(target.classes)])
        return torch.stack([hits_K, scores.valid_sums_K(scores.chance_BKHW), target.pixels_K])

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """Mean over the present classes."""
        hits_K, chance_K, target_K = statistics
        present_K = target_K > 0
        loss_K = 1 - 2 * ratio(hits_K, chance_K + target_K)
        return ratio((loss_K * present_K).sum(), present_K.sum())
