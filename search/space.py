"""The search space: declared parameters in an order in which every condition is known before it is needed."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search.space_settings import Choice, ParameterSettings, SpaceError, build_distribution, same_value


@dataclass(frozen=True)
class Parameter:
    """One searched setting: its dotted path, its distribution and its conditions, all of which must hold."""

    path: str
    distribution: BaseDistribution
    conditions: Mapping[str, tuple[Choice, ...]]

    def suggest(self, trial: optuna.Trial) -> Choice:
        """Ask the trial for this parameter's value."""
        space = self.distribution
        if isinstance(space, FloatDistribution):
            return trial.suggest_float(self.path, space.low, space.high, step=space.step, log=space.log)
        if isinstance(space, IntDistribution):
            return trial.suggest_int(self.path, space.low, space.high, step=space.step, log=space.log)
        assert isinstance(space, CategoricalDistribution)  # the only kind left that is ever built
        return trial.suggest_categorical(self.path, space.choices)

    def holds(self, values: Mapping[str, Choice], fixed: Mapping[str, Any]) -> bool:
        """Whether all conditions hold under the values of those before it and the nested settings that are fixed."""
        for path, accepted in self.conditions.items():
            value = values[path] if path in values else setting(fixed, path)
            if not any(same_value(value, other) for other in accepted):
                return False
        return True


@dataclass(frozen=True)
class Space:
    """Parameters in topological order: what a condition names stands before what depends on it."""

    parameters: tuple[Parameter, ...]

    @classmethod
    def declare(cls, declared: Mapping[str, ParameterSettings], kinds: Mapping[str, type]) -> "Space":
        """Build the space; `kinds` maps every path that can be searched or named to int, float, bool or str.

        Raises `SpaceError` for an unknown path, a declaration that does not suit its kind, or conditions in a cycle.
        """
        parameters = {}
        for path, settings in declared.items():
            if path not in kinds:
                raise SpaceError(path, "is no setting that can be searched")
            for other, values in settings.conditions.items():
                if other not in kinds:
                    raise SpaceError(path, f"`when` names {other}, which is no setting of one value", "when")
                if not values:
                    raise SpaceError(path, f"`when` gives no value for {other}: it would never be searched", "when")
            parameters[path] = Parameter(path, build_distribution(path, settings, kinds[path]), settings.conditions)
        return cls(tuple(parameters[path] for path in topological_order(declared)))

    def __len__(self) -> int:
        return len(self.parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Path -> distribution of every parameter, active or not, in topological order."""
        return {parameter.path: parameter.distribution for parameter in self.parameters}

    def suggest(self, trial: optuna.Trial, fixed: Mapping[str, Any]) -> dict[str, Choice]:
        """Ask the trial for the active parameters only; `fixed` holds the nested settings that the rest keep."""
        values: dict[str, Choice] = {}
        for parameter in self.parameters:
            if parameter.holds(values, fixed):
                values[parameter.path] = parameter.suggest(trial)
        return values

    def active(self, values: Mapping[str, Choice], fixed: Mapping[str, Any]) -> dict[str, Choice]:
        """The part of `values` whose parameters are searched under these values; parameters without one are skipped."""
        chosen: dict[str, Choice] = {}
        for parameter in self.parameters:
            if parameter.path in values and parameter.holds(chosen, fixed):
                chosen[parameter.path] = values[parameter.path]
        return chosen

    def check(self, values: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Choice]:
        """Values chosen by a user as the space has them; the parameters that they do not name are left to be drawn.

        Raises SpaceError for a path that is not searched, a value that is none of its parameter's, and a condition
        that does not hold, or would by chance only.
        """
        by_path = {parameter.path: parameter for parameter in self.parameters}
        for path in values:
            if path not in by_path:
                raise SpaceError(path, f"is not searched by this study; expected one of {', '.join(by_path)}")
        chosen = {path: fitted(path, by_path[path].distribution, values[path]) for path in by_path if path in values}
        for path in chosen:
            for other, accepted in by_path[path].conditions.items():
                wanted = " or ".join(map(str, accepted))
                if other in by_path and other not in chosen and not _is_out(by_path[other], chosen):
                    raise SpaceError(path, f"is searched only while {other} is {wanted}; give a value for it too")
                value = chosen[other] if other in chosen else setting(fixed, other)
                if not any(same_value(value, one) for one in accepted):
                    raise SpaceError(path, f"is searched only while {other} is {wanted}, and not while it is {value}")
        return chosen

    def apply(self, settings: Mapping[str, Any], values: Mapping[str, Choice]) -> dict[str, Any]:
        """A nested copy of `settings` with the values put at their paths; a path that does not exist is an error."""
        result: dict[str, Any] = copy.deepcopy(dict(settings))
        for path, value in values.items():
            setting(result, path)
            *groups, leaf = path.split(".")
            target = result
            for group in groups:
                target = target[group]
            target[leaf] = value
        return result

    def live(self, fixed: Mapping[str, Any]) -> "Space":
        """The space without parameters whose condition can never hold under these fixed settings."""
        possible: dict[str, Parameter] = {}
        for parameter in self.parameters:
            if all(_can_be(path, accepted, possible, fixed) for path, accepted in parameter.conditions.items()):
                possible[parameter.path] = parameter
        return Space(tuple(possible.values()))


def setting(settings: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of nested settings; raises `SpaceError` if there is none."""
    value: Any = settings
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise SpaceError(path, "is no setting")
        value = value[name]
    return value


def topological_order(declared: Mapping[str, ParameterSettings]) -> list[str]:
    """The declared paths, what a condition names before what depends on it, otherwise as declared.

    Raises `SpaceError` where conditions form a cycle.
    """
    sorter = TopologicalSorter({path: [p for p in s.when if p in declared] for path, s in declared.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        # graphlib lists every node before the one that depends on it, the first repeated at the end.
        cycle = list(reversed(error.args[1]))
        raise SpaceError(cycle[0], f"`when` goes in a circle: {' -> '.join(cycle)}", "when") from error
    place = {path: index for index, path in enumerate(declared)}
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        order.extend(ready)
        sorter.done(*ready)
    return order


def fitted(path: str, distribution: BaseDistribution, value: Any) -> Choice:
    """A value as the distribution has it, whole numbers of either type; raises SpaceError for any other."""
    if isinstance(distribution, CategoricalDistribution):
        for choice in distribution.choices:
            if same_value(choice, value):
                return choice
        raise SpaceError(path, f"got {value!r}; expected one of {', '.join(map(str, distribution.choices))}")
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # the only kinds left
    kind = float if isinstance(distribution, FloatDistribution) else int
    steps = f" in steps of {distribution.step:g}" if distribution.step not in (None, 1) else ""
    number = "an integer" if kind is int else "a number"
    expected = f"expected {number} from {distribution.low:g} to {distribution.high:g}{steps}"
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise SpaceError(path, f"got {value!r}; {expected}")
    if not distribution.low <= value <= distribution.high or kind(value) != value:
        raise SpaceError(path, f"got {value}; {expected}")
    # Optuna's own arithmetic of steps, on its own form of a number.
    if not distribution._contains(float(value)):
        raise SpaceError(path, f"got {value}; {expected}")
    return kind(value)


def _is_out(parameter: Parameter, chosen: Mapping[str, Choice]) -> bool:
    """Whether one of the chosen values says that the parameter is not searched."""
    return any(
        other in chosen and not any(same_value(chosen[other], value) for value in accepted)
        for other, accepted in parameter.conditions.items()
    )


def _can_be(
    path: str, accepted: tuple[Choice, ...], possible: Mapping[str, Parameter], fixed: Mapping[str, Any]
) -> bool:
    """Whether the setting at `path` can ever have one of the accepted values."""
    parent = possible.get(path)
    # The fixed value counts where the parent is not searched, or not always.
    keeps_fixed = parent is None or bool(parent.conditions)
    if keeps_fixed and any(same_value(setting(fixed, path), value) for value in accepted):
        return True
    return parent is not None and any(_contains(parent.distribution, value) for value in accepted)


def _contains(distribution: BaseDistribution, value: Choice) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return any(same_value(choice, value) for choice in distribution.choices)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # the only kinds left
    return distribution.low <= value <= distribution.high
