"""What the terms of a loss share about the logits of a batch, computed once."""

from collections.abc import Collection
from functools import cached_property

import torch
from torch.nn import functional

from trainables.data.splits import IGNORE
from trainables.losses.target import Target


class Scores:
    """Logits [B, K, H, W] of any precision against a target; figures are fp32, or fp64 of fp64 logits."""

    def __init__(self, logits_BKHW: torch.Tensor, target: Target) -> None:
        self.logits_BKHW = logits_BKHW if logits_BKHW.dtype == torch.float64 else logits_BKHW.float()
        self.target = target

    @cached_property
    def log_chance_BKHW(self) -> torch.Tensor:
        """Logarithm of the softmax over classes."""
        return self.logits_BKHW.log_softmax(1)

    @cached_property
    def chance_BKHW(self) -> torch.Tensor:
        """Softmax over classes."""
        return self.log_chance_BKHW.exp()

    @cached_property
    def loss_BHW(self) -> torch.Tensor:
        """Negative log-likelihood of each pixel's target class, 0 where ignored."""
        return self.weighted_loss_BHW(None)

    def weighted_loss_BHW(self, weights_K: torch.Tensor | None) -> torch.Tensor:
        """`loss_BHW` times the weight of the target class."""
        # Not summed by the kernel, whose sum is not reproducible on CUDA.
        return functional.nll_loss(
            self.log_chance_BKHW, self.target.masks_BHW.long(), weight=weights_K, ignore_index=IGNORE, reduction="none"
        )

    def valid_sums_K(self, values_BKHW: torch.Tensor) -> torch.Tensor:
        """Sums over valid pixels, in one pass over the values."""
        values_BKP, valid_BP1 = (
            values_BKHW.flatten(2),
            self.target.valid_BHW.flatten(1)[:, :, None].to(values_BKHW.dtype),
        )
        return torch.bmm(values_BKP, valid_BP1).sum((0, 2))

    def without(self, labels: Collection[int]) -> "Scores":
        """The same logits against the target with the pixels of some classes ignored."""
        if not labels:
            return self
        rest = Scores(self.logits_BKHW, self.target.without(labels))
        rest.log_chance_BKHW = self.log_chance_BKHW
        return rest
