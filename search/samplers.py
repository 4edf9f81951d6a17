"""Samplers by name, with their own arguments."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

# What the search sets itself, what only code can give, and what Optuna has deprecated.
_NOT_FOR_USERS = frozenset(
    {
        "self", "seed", "search_space", "gamma", "weights", "categorical_distance_func", "constraints_func", "mutation",
        "crossover", "elite_population_selection_strategy", "child_generation_strategy", "after_trial_strategy",
        "independent_sampler", "x0", "sigma0", "source_trials", "restart_strategy", "inc_popsize",
        "warn_independent_sampling", "warn_asynchronous_seeding", "consider_endpoints",
        "consider_magic_clip", "consider_prior", "prior_weight",
    }
)  # fmt: skip


class ExhaustiveGrid(GridSampler):
    """Optuna's grid, without its call of `Study.stop`, which only `Study.optimize` can bear."""

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """Leave the end of the search to the budget, which the size of the grid bounds."""


@dataclass(frozen=True)
class SamplerRow:
    """One sampler: how it is made, what we set unless the user does, and whether its points come from a sequence."""

    factory: Callable[..., BaseSampler]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    # A sequence (grid, QMC) continues where the storage says; a new seed would start another sequence.
    fixed_seed: bool = False


SAMPLERS: dict[str, SamplerRow] = {
    "random": SamplerRow(RandomSampler),
    "grid": SamplerRow(ExhaustiveGrid, fixed_seed=True),
    # `group`: conditional parameters are modelled within the trials that have them.
    "tpe": SamplerRow(TPESampler, {"multivariate": True, "group": True, "constant_liar": True}),
    "gp": SamplerRow(GPSampler, {"warn_independent_sampling": False}),
    "cmaes": SamplerRow(CmaEsSampler, {"warn_independent_sampling": False, "consider_pruned_trials": True}),
    "nsgaii": SamplerRow(NSGAIISampler),
    "qmc": SamplerRow(QMCSampler, {"scramble": True, "warn_independent_sampling": False}, fixed_seed=True),
}


def sampler_arguments(name: str) -> frozenset[str]:
    """Names of the arguments that a study file may give to the sampler `name`."""
    return frozenset(inspect.signature(SAMPLERS[name].factory).parameters) - _NOT_FOR_USERS


def count_opening(study: optuna.Study) -> int:
    """How often a driver opened the study before this one, which is counted with the study."""
    opened = int(study.user_attrs.get("opened", 0))
    study.set_user_attr("opened", opened + 1)
    return opened


def derive_seed(seed: int, asked: int, opened: int = 0) -> int:
    """Seed of a sampler opened after `asked` trials for the `opened`th time; the same seed twice would repeat points.

    The number of trials alone would not do: a trial that a crash left without its values draws them after the next
    opening, and a crash right then leaves the number as it was.
    """
    return int(np.random.SeedSequence([seed, asked, opened] if opened else [seed, asked]).generate_state(1)[0])


def build_sampler(
    name: str,
    arguments: Mapping[str, Any],
    *,
    seed: int,
    asked: int,
    distributions: Mapping[str, BaseDistribution],
    opened: int = 0,
) -> BaseSampler:
    """The sampler `name` for a study that has asked `asked` trials and was opened `opened` times before.

    Raises ValueError where the arguments do not fit the sampler.
    """
    row = SAMPLERS[name]
    own_seed = seed % 2**32 if row.fixed_seed else derive_seed(seed, asked, opened)
    keywords = {**row.defaults, **arguments, "seed": own_seed}
    if name == "grid":
        keywords["search_space"] = grid_values(distributions)
    with warnings.catch_warnings():
        # `group` and the GP sampler are marked experimental; the pinned versions are tested here.
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            return row.factory(**keywords)
        except (TypeError, ValueError) as error:
            raise ValueError(f"search.sampler: {name} refuses {dict(arguments)}: {error}") from error


def grid_values(distributions: Mapping[str, BaseDistribution]) -> dict[str, list[Any]]:
    """Every value of each parameter; a continuous one has none and is refused with what to do."""
    values: dict[str, list[Any]] = {}
    for path, distribution in distributions.items():
        match distribution:
            case CategoricalDistribution(choices=choices):
                values[path] = list(choices)
            case IntDistribution(low=low, high=high, step=step, log=False):
                values[path] = list(range(low, high + 1, step))
            case FloatDistribution(low=low, high=high, step=float(step)):
                values[path] = [low + index * step for index in range(round((high - low) / step) + 1)]
            case _:
                raise ValueError(
                    f"search.sampler: grid needs `choices` or a `step` for every parameter, {path} has neither; "
                    "give one or choose another sampler"
                )
    return values


def grid_size(distributions: Mapping[str, BaseDistribution]) -> int:
    """Number of points of the grid."""
    return int(np.prod([len(values) for values in grid_values(distributions).values()], dtype=np.int64))
