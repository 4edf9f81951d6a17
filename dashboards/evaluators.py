"""How much of a value each searched parameter explains: Optuna's evaluators on trials and values of one's choice."""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from optuna.study import StudyDirection
from optuna.trial import create_trial

from dashboards.parameters import ParameterAxis
from search.records.study import TrialRecord

# Optuna's default; a forest's trees are the resamples of its spread.
TREES = 64
_ALONE = threading.Lock()


def ped_anova(trials: Sequence[TrialRecord], values: Sequence[float], maximize: bool, share: float) -> dict[str, float]:
    """PED-ANOVA of the best `share` (within 0 to 1) of the trials against all; not normalised.

    Watanabe et al. 2023, arXiv:2304.10255; conditional parameters by arXiv:2601.20800.
    """
    # The study has the values themselves as objective: Optuna's `target=` would take them as to be minimised.
    scratch = _study_in_memory(maximize)
    for trial, value in zip(trials, values, strict=True):
        scratch.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=value))
    return _evaluated(PedAnovaImportanceEvaluator(target_quantile=share), scratch)


def ped_anova_of_each(
    trials: Sequence[TrialRecord], targets: Mapping[str, Sequence[float]], share: Callable[[int], float]
) -> dict[str, dict[str, float]]:
    """PED-ANOVA by the name of a target that is to be large; trials whose target is NaN stay out of that one.

    `share` maps the number of trials that have a target to the part of them that is called the best.
    """
    scratch = _study_in_memory(maximize=False)
    for trial in trials:
        scratch.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=0.0))
    found = {}
    for name, target in targets.items():
        defined = sum(value == value for value in target)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=share(defined))
        # Optuna reminds that a target is minimised: hence the minus.
        with _unwarned():
            found[name] = evaluator.evaluate(scratch, target=lambda one, target=target: -target[one.number])  # type: ignore[misc]
    return found


def fanova(
    trials: Sequence[TrialRecord], values: Sequence[float], axes: Sequence[ParameterAxis], trees: int, seed: int
) -> dict[str, float]:
    """The part of a random forest's variance that each parameter explains alone; the rest of 1 is interactions.

    Hutter et al. 2014. All trials must have all parameters; those searched on a logarithmic scale enter as logarithms,
    since fANOVA averages over the space as it is given and would spend it on the largest decade. Empty where no
    value differs.
    """
    try:
        return _evaluated(FanovaImportanceEvaluator(n_trees=trees, seed=seed), _scaled(trials, values, axes))
    except RuntimeError:
        # Optuna's word for trees that found nothing to split: a resample, or all trials, of one value.
        return {}


def mean_decrease_impurity(
    trials: Sequence[TrialRecord], values: Sequence[float], axes: Sequence[ParameterAxis], trees: int, seed: int
) -> dict[str, float]:
    """How much the splits on each parameter reduce a random forest's variance, relative to all splits."""
    return _evaluated(MeanDecreaseImpurityImportanceEvaluator(n_trees=trees, seed=seed), _scaled(trials, values, axes))


def _scaled(trials: Sequence[TrialRecord], values: Sequence[float], axes: Sequence[ParameterAxis]) -> optuna.Study:
    """A study whose parameters are positions on the axes (choices themselves), over what any trial could have had."""
    distributions = {axis.path: _distribution(axis) for axis in axes}
    scratch = _study_in_memory(maximize=True)
    for trial, value in zip(trials, values, strict=True):
        params = {axis.path: coordinate(axis, trial.params[axis.path]) for axis in axes}
        scratch.add_trial(create_trial(params=params, distributions=distributions, value=value))
    return scratch


def _distribution(axis: ParameterAxis) -> BaseDistribution:
    return CategoricalDistribution(range(len(axis.choices))) if axis.choices else FloatDistribution(*axis.limits)


def coordinate(axis: ParameterAxis, value: Any) -> float:
    """The position on the axis, within its limits; a choice's index is whole."""
    if axis.choices:
        return int(axis.position(value))
    low, high = axis.limits
    # log10 of a bound and of the same value may differ in the last digit.
    return min(max(axis.position(value), low), high)


def _evaluated(evaluator: BaseImportanceEvaluator, scratch: optuna.Study) -> dict[str, float]:
    # Optuna's words about few trials are said in the figure, in ours.
    with _unwarned():
        return {path: float(value) for path, value in evaluator.evaluate(scratch).items()}


@contextmanager
def _unwarned() -> Iterator[None]:
    """Without Optuna's warnings, one thread at a time: which warnings are shown is the whole process's."""
    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _study_in_memory(maximize: bool) -> optuna.Study:
    """A study without Optuna's line on the terminal about its creation."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction=StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE)
    finally:
        optuna.logging.set_verbosity(verbosity)
