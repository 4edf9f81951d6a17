"""What the terms of a loss share about a batch, computed once."""

from functools import cached_property

import torch
from torch.nn import functional

from trainables.data.splits import IGNORE


class Scores:
    """Logits [B, K, H, W] of any precision against uint8 masks [B, H, W] with IGNORE; figures are fp32."""

    def __init__(self, logits_BKHW: torch.Tensor, masks_BHW: torch.Tensor) -> None:
        self.logits_BKHW = logits_BKHW.float()
        self.masks_BHW = masks_BHW
        self.classes = logits_BKHW.shape[1]

    @cached_property
    def log_chance_BKHW(self) -> torch.Tensor:
        """Logarithm of the softmax over classes."""
        return self.logits_BKHW.log_softmax(1)

    @cached_property
    def chance_BKHW(self) -> torch.Tensor:
        """Softmax over classes."""
        return self.log_chance_BKHW.exp()

    @cached_property
    def valid_BHW(self) -> torch.Tensor:
        """1 where a pixel counts, else 0."""
        return (self.masks_BHW != IGNORE).float()

    @cached_property
    def pixels_K(self) -> torch.Tensor:
        """Number of valid pixels of each class."""
        return torch.bincount(self.masks_BHW.flatten(), minlength=self.classes)[: self.classes].float()

    @cached_property
    def loss_BHW(self) -> torch.Tensor:
        """Negative log-likelihood of each pixel's target class, 0 where ignored."""
        return self.weighted_loss_BHW(None)

    def weighted_loss_BHW(self, weights_K: torch.Tensor | None) -> torch.Tensor:
        """`loss_BHW` times the weight of the target class."""
        # Not summed by the kernel, whose sum is not reproducible on CUDA.
        return functional.nll_loss(
            self.log_chance_BKHW, self.masks_BHW.long(), weight=weights_K, ignore_index=IGNORE, reduction="none"
        )
