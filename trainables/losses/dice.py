"""Soft dice."""

import torch

from trainables.data.splits import IGNORE
from trainables.losses.settings import DiceSettings
from trainables.losses.terms import ratio, valid_pixels_K


class Dice:
    """1 - 2 sum(p t) / (sum(p) + sum(t)) over valid pixels, the mean over the classes with a target pixel.

    p is the softmax, t the target as 0 or 1 (Milletari et al. 2016, with the sums of Sudre et al. 2017). Class weights
    do not enter: dice weighs classes evenly already.
    """

    def __init__(self, settings: DiceSettings, weights_K: torch.Tensor | None) -> None:
        pass

    def statistics(self, logits_BKHW: torch.Tensor, masks_BHW: torch.Tensor) -> torch.Tensor:
        """[3, K]: sum(p t), sum(p), sum(t)."""
        classes = logits_BKHW.shape[1]
        chance_BKHW = logits_BKHW.softmax(1) * (masks_BHW != IGNORE)[:, None]
        labels_K11 = torch.arange(classes, device=masks_BHW.device, dtype=masks_BHW.dtype)[:, None, None]
        hits_K = (chance_BKHW * (masks_BHW[:, None] == labels_K11)).sum((0, 2, 3))
        target_K = valid_pixels_K(masks_BHW, classes).to(hits_K.dtype)
        return torch.stack([hits_K, chance_BKHW.sum((0, 2, 3)), target_K])

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """Mean over the present classes."""
        hits_K, chance_K, target_K = statistics
        present_K = target_K > 0
        loss_K = 1 - 2 * ratio(hits_K, chance_K + target_K)
        return ratio((loss_K * present_K).sum(), present_K.sum())
