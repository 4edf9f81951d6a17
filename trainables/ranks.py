"""The processes that train one trial together, each on its share of every batch."""

from collections.abc import Iterable
from typing import Any

import torch


class Ranks:
    """How many processes train a trial, which of them this one is (from 0), and sums over all of them.

    What trains by itself is alone: one rank, whose sums are its own. All ranks ask for the same sums in the same order.
    With `sync_batch_norm` BatchNorm takes its mean and variance over the batches of all ranks.
    """

    size: int = 1
    rank: int = 0
    sync_batch_norm: bool = False

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks."""
        return tensor

    def gathered(self, content: Any) -> list[Any]:
        """What each rank gives, in their order."""
        return [content]

    def copy_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Overwrite the tensors with those of rank 0."""


ALONE = Ranks()
