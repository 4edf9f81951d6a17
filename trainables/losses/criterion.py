"""The loss of a trial: the weighted sum of its terms, and its figure over an epoch."""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from trainables.losses.own import own_term
from trainables.losses.scores import Scores
from trainables.losses.settings import LossSettings
from trainables.losses.target import Target
from trainables.losses.terms import AdditiveTerm, LossError, LossTerm, ratio
from trainables.ranks import ALONE, Ranks

# Keys are the names under `loss.terms`; a factory takes that term's settings and the class weights.
TERMS: dict[str, Callable[[Any, torch.Tensor | None], LossTerm]] = {
    "cross_entropy": CrossEntropy,
    "dice": Dice,
    "focal": Focal,
    "boundary": Boundary,
    "lovasz": Lovasz,
    "custom": own_term,
}

Statistics = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class WholeBatch:
    """What the pieces of a batch have in common: for each term that adds up its sum of weights, and the images."""

    weights: Statistics
    images: int


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

    def weights(self, target: Target) -> dict[str, torch.Tensor]:
        """For each term that adds up, the weight of a piece's valid pixels."""
        target = target.without(self.ignore_target) if self.ignore_target else target
        return {name: term.weight(target) for name, term in self._in_force() if isinstance(term, AdditiveTerm)}

    def share(self, statistics: Statistics, whole: WholeBatch, images: int) -> torch.Tensor:
        """What a piece of a batch adds to its loss.

        A term that adds up has its sum divided by the weight of the whole batch, which is exact. Of another, such as
        dice, the piece's own value counts by its share of the images: another loss than that of the whole batch.
        """
        shares = []
        for name, factor in self.factors.items():
            if name in whole.weights:
                shares.append(factor * ratio(statistics[name][0], whole.weights[name]))
            else:
                shares.append(factor * self._terms[name].value(statistics[name]) * (images / whole.images))
        return torch.stack(shares).sum()

    @property
    def adds_up(self) -> bool:
        """Whether the loss of a batch follows exactly from pieces of it."""
        return all(isinstance(term, AdditiveTerm) for _, term in self._in_force())

    def _in_force(self) -> Iterator[tuple[str, LossTerm]]:
        return ((name, self._terms[name]) for name in self.factors)

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

    def value(self, ranks: Ranks = ALONE) -> float:
        """The loss over all pixels of the epoch, of all ranks; NaN before any batch."""
        # Not by Ranks.sum: a rank may have had no batch, and then no statistics.
        sums: dict[str, torch.Tensor] = {}
        for part in ranks.gathered(self._sums):
            sums |= {name: sums[name] + value if name in sums else value for name, value in part.items()}
        return float(self._criterion.value(sums)) if sums else float("nan")
