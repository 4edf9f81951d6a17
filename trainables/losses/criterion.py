"""The loss of a trial: the weighted sum of its terms, and its figure over an epoch."""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.class_names import label_ids
from trainables.losses.boundary import Boundary
from trainables.losses.checks import loss_findings
from trainables.losses.cross_entropy import CrossEntropy
from trainables.losses.dice import Dice
from trainables.losses.focal import Focal
from trainables.losses.lovasz import Lovasz
from trainables.losses.scores import Scores
from trainables.losses.settings import LossSettings
from trainables.losses.terms import LossError, LossTerm

# Keys are the names under `loss.terms`; a factory takes that term's settings and the class weights.
TERMS: dict[str, Callable[[Any, torch.Tensor | None], LossTerm]] = {
    "cross_entropy": CrossEntropy,
    "dice": Dice,
    "focal": Focal,
    "boundary": Boundary,
    "lovasz": Lovasz,
}

Statistics = Mapping[str, torch.Tensor]


class Criterion:
    """The sum of the terms with a weight above 0; raises LossError for what `loss_findings` finds.

    Target pixels of the labels in `ignore_target` do not count. `auxiliary` is the factor of the loss of auxiliary
    outputs, which the training pass adds.
    """

    def __init__(
        self, settings: LossSettings, weights_K: torch.Tensor | None, ignore_target: Collection[int] = ()
    ) -> None:
        if findings := list(loss_findings(settings)):
            raise LossError("\n".join(findings))
        configured = {name: getattr(settings.terms, name) for name in TERMS}
        self.factors = {name: float(term.weight) for name, term in configured.items() if term.weight > 0}
        self.weights_K = weights_K
        self.ignore_target = tuple(ignore_target)
        self.auxiliary = settings.auxiliary
        self._terms = {name: TERMS[name](configured[name], weights_K) for name in self.factors}

    @property
    def parameters(self) -> dict[str, dict[str, float]]:
        """The settings in force of each term, beside its weight."""
        return {name: dict(term.parameters) for name, term in self._terms.items()}

    def at(self, epoch: int) -> "Criterion":
        """The criterion to train epoch 1, 2, … by: a term with warm-up starts at 0 and grows by the epoch.

        Validation takes the full weights at every epoch, so that its losses can be compared.
        """
        factors = {name: factor * self._share(name, epoch) for name, factor in self.factors.items()}
        result = copy.copy(self)
        result.factors = {name: factor for name, factor in factors.items() if factor > 0}
        return result

    def statistics(self, scores: Scores) -> dict[str, torch.Tensor]:
        """Statistics of each term for a batch."""
        scores = scores.without(self.ignore_target)
        return {name: self._terms[name].statistics(scores) for name in self.factors}

    def value(self, statistics: Statistics) -> torch.Tensor:
        """The scalar loss of the terms' statistics."""
        values = [factor * self._terms[name].value(statistics[name]) for name, factor in self.factors.items()]
        return torch.stack(values).sum()

    def _share(self, name: str, epoch: int) -> float:
        warmup_epochs = self._terms[name].parameters.get("warmup_epochs", 0.0)
        return min(1.0, (epoch - 1) / warmup_epochs) if warmup_epochs else 1.0


def build_criterion(
    settings: LossSettings,
    weights_K: NDArray[np.float64] | Sequence[float] | None,
    class_names: Sequence[str],
    device: torch.device,
) -> Criterion:
    """The criterion of a trial on a device; raises LossError for unknown names."""
    tensor_K = None if weights_K is None else torch.tensor(weights_K, dtype=torch.float32, device=device)
    return Criterion(settings, tensor_K, label_ids(settings.ignore_target, class_names, "loss.ignore_target"))


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
