"""What a loss term is: sums that add up over batches, and the value that they give."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch

from trainables.losses.scores import Scores
from trainables.losses.target import Target


class LossError(ValueError):
    """The loss cannot be computed as asked."""


class LossTerm(Protocol):
    """One term of the loss.

    A term is computed in two halves, so that an epoch's figure comes from sums over all its pixels, however they were
    cut into batches: `statistics` of a batch are differentiable sums that add up over batches, `value` is the scalar
    loss that they give. A batch without valid pixels has the value 0.
    """

    @property
    def parameters(self) -> Mapping[str, float]:
        """The settings of the term that are in force, beside its weight."""
        ...

    def statistics(self, scores: Scores) -> torch.Tensor:
        """Sums over the valid pixels of a batch."""
        ...

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """The scalar loss of (added) statistics."""
        ...


@runtime_checkable
class AdditiveTerm(LossTerm, Protocol):
    """A term whose value is its first statistic divided by a weight that the target alone decides.

    Its gradient then follows exactly from pieces of a batch, however many valid pixels each of them has.
    """

    def weight(self, target: Target) -> torch.Tensor:
        """The scalar sum over valid pixels that the value is divided by."""
        ...


def ratio(total: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """total / weight, and 0 with a finite gradient where the weight is 0."""
    return total / torch.where(weight > 0, weight, torch.ones_like(weight))
