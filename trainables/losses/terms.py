"""What a loss term is: sums that add up over batches, and the value that they give."""

from typing import Protocol

import torch


class LossError(ValueError):
    """The loss cannot be computed as asked."""


class LossTerm(Protocol):
    """One term of the loss.

    A term is computed in two halves, so that an epoch's figure comes from sums over all its pixels, however they were
    cut into batches: `statistics` of a batch are differentiable sums that add up over batches, `value` is the scalar
    loss that they give. A batch without valid pixels has the value 0.
    """

    def statistics(self, logits_BKHW: torch.Tensor, masks_BHW: torch.Tensor) -> torch.Tensor:
        """Sums over the valid pixels of fp32 logits against uint8 masks with IGNORE."""
        ...

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """The scalar loss of (added) statistics."""
        ...


def valid_pixels_K(masks_BHW: torch.Tensor, classes: int) -> torch.Tensor:
    """Number of pixels of each class; IGNORE and every label beyond the classes count nowhere."""
    return torch.bincount(masks_BHW.flatten(), minlength=classes)[:classes]


def ratio(total: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """total / weight, and 0 with a finite gradient where the weight is 0."""
    return total / torch.where(weight > 0, weight, torch.ones_like(weight))
