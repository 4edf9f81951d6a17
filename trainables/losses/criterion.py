"""The loss of a trial: the weighted sum of its terms, and its figure over an epoch."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from trainables.losses.cross_entropy import CrossEntropy
from trainables.losses.dice import Dice
from trainables.losses.scores import Scores
from trainables.losses.settings import LossSettings
from trainables.losses.terms import LossError, LossTerm

# Keys are the names under `loss.terms`; a factory takes that term's settings and the class weights.
TERMS: dict[str, Callable[[Any, torch.Tensor | None], LossTerm]] = {
    "cross_entropy": CrossEntropy,
    "dice": Dice,
}

Statistics = Mapping[str, torch.Tensor]


class Criterion:
    """The sum of the terms with a weight above 0; raises LossError if there is none."""

    def __init__(self, settings: LossSettings, weights_K: torch.Tensor | None) -> None:
        configured = {name: getattr(settings.terms, name) for name in TERMS}
        self.factors = {name: float(term.weight) for name, term in configured.items() if term.weight > 0}
        if not self.factors:
            raise LossError("loss.terms: every weight is 0; give at least one term a weight above 0")
        self.weights_K = weights_K
        self._terms = {name: TERMS[name](configured[name], weights_K) for name in self.factors}

    def statistics(self, scores: Scores) -> dict[str, torch.Tensor]:
        """Statistics of each term for a batch."""
        return {name: term.statistics(scores) for name, term in self._terms.items()}

    def value(self, statistics: Statistics) -> torch.Tensor:
        """The scalar loss of the terms' statistics."""
        values = [factor * self._terms[name].value(statistics[name]) for name, factor in self.factors.items()]
        return torch.stack(values).sum()


class EpochLoss:
    """Adds up the statistics of an epoch's batches in float64, on the device and without waiting for it."""

    def __init__(self, criterion: Criterion) -> None:
        self._criterion = criterion
        self._sums: dict[str, torch.Tensor] = {}

    def add(self, statistics: Statistics) -> None:
        """Take in a batch."""
        for name, value in statistics.items():
            value = value.detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def value(self) -> float:
        """The loss over all pixels of the epoch; NaN before any batch."""
        return float(self._criterion.value(self._sums)) if self._sums else float("nan")
