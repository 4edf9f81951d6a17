"""Cross-entropy, weighted by class."""

import torch
from torch.nn import functional

from trainables.data.splits import IGNORE
from trainables.losses.settings import CrossEntropySettings
from trainables.losses.terms import ratio, valid_pixels_K


class CrossEntropy:
    """Negative log-likelihood of the target class, its sum divided by the sum of the valid pixels' class weights."""

    def __init__(self, settings: CrossEntropySettings, weights_K: torch.Tensor | None) -> None:
        self._weights_K = weights_K

    def statistics(self, logits_BKHW: torch.Tensor, masks_BHW: torch.Tensor) -> torch.Tensor:
        """[sum of weighted losses, sum of weights]."""
        # Summed here: the kernel's own sum is not reproducible on CUDA.
        loss_BHW = functional.cross_entropy(
            logits_BKHW, masks_BHW.long(), weight=self._weights_K, ignore_index=IGNORE, reduction="none"
        )
        pixels_K = valid_pixels_K(masks_BHW, logits_BKHW.shape[1]).to(loss_BHW.dtype)
        weight = pixels_K.sum() if self._weights_K is None else pixels_K @ self._weights_K
        return torch.stack([loss_BHW.sum(), weight])

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """Mean loss."""
        return ratio(statistics[0], statistics[1])
