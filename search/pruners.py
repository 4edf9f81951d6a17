"""Pruners by name, with their own arguments; steps are epochs, the first is 1."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)

# At epoch 1 the ranking among the good is noise, and just the knobs of interest (schedule, augmentation, unfreezing)
# pay off late.
FIRST_RUNG = 3


@dataclass(frozen=True)
class Horizon:
    """What pruners must know of a study: the epochs of a trial and the end of the longest warm-up."""

    epochs: int
    warmup_epochs: float = 0.0

    @property
    def first_rung(self) -> int:
        """Earliest epoch at which trials are compared, at most the last epoch."""
        return min(self.epochs, max(FIRST_RUNG, -int(-self.warmup_epochs // 1)))


@dataclass(frozen=True)
class PrunerRow:
    """One pruner: how it is made and what we set unless the user does."""

    factory: Callable[..., BasePruner]
    defaults: Callable[[Horizon], Mapping[str, Any]] = lambda horizon: {}


PRUNERS: dict[str, PrunerRow] = {
    "none": PrunerRow(NopPruner),
    "median": PrunerRow(MedianPruner, lambda horizon: {"n_warmup_steps": horizon.first_rung}),
    "percentile": PrunerRow(
        PercentilePruner, lambda horizon: {"percentile": 25.0, "n_warmup_steps": horizon.first_rung}
    ),
    "successive_halving": PrunerRow(
        SuccessiveHalvingPruner, lambda horizon: {"min_resource": horizon.first_rung, "reduction_factor": 3}
    ),
    "hyperband": PrunerRow(
        HyperbandPruner,
        lambda horizon: {"min_resource": horizon.first_rung, "max_resource": horizon.epochs, "reduction_factor": 3},
    ),
    "patient": PrunerRow(
        lambda patience=5, min_delta=0.0: PatientPruner(None, patience, min_delta),
    ),
    "threshold": PrunerRow(ThresholdPruner, lambda horizon: {"n_warmup_steps": horizon.first_rung}),
}


def pruner_arguments(name: str) -> frozenset[str]:
    """Names of the arguments that a study file may give to the pruner `name`."""
    return frozenset(inspect.signature(PRUNERS[name].factory).parameters) - {"self"}


def build_pruner(name: str, arguments: Mapping[str, Any], horizon: Horizon) -> BasePruner:
    """The pruner `name`; raises ValueError where the arguments do not fit it."""
    row = PRUNERS[name]
    with warnings.catch_warnings():
        # The patient pruner is marked experimental; the pinned version is tested here.
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            return row.factory(**{**row.defaults(horizon), **arguments})
        except (TypeError, ValueError) as error:
            raise ValueError(f"search.pruner: {name} refuses {dict(arguments)}: {error}") from error
