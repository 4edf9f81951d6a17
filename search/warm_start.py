"""The best settings of one study as trials of another: what has the same path there and lies in the space here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from search.space import Space, fitted, setting
from search.space_settings import Choice, SpaceError

FEW = 5


@dataclass(frozen=True)
class Taken:
    """Trial `number` of the other study, which had `value` there, with what of its settings is searched here."""

    number: int
    value: float
    values: Mapping[str, Choice]


@dataclass
class Mapped:
    """What is taken of another study, and how many of its trials are the same as others.

    `left` has, by path and reason, the trials whose value there is not taken.
    """

    taken: list[Taken] = field(default_factory=list)
    repeated: int = 0
    left: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """What is not taken, a line for each path and reason."""
        return [f"{path}: {why} ({_few(numbers)})" for (path, why), numbers in self.left.items()]

    def leave(self, path: str, why: str, number: int) -> None:
        """Note that a value of trial `number` is not taken."""
        self.left.setdefault((path, why), []).append(number)


def best_trials(trials: Sequence[FrozenTrial], count: int) -> list[FrozenTrial]:
    """The `count` COMPLETE trials with the highest values, the first of equals."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE and math.isfinite(_value(trial))]
    return sorted(complete, key=lambda trial: (-_value(trial), trial.number))[:count]


def map_trials(
    trials: Sequence[FrozenTrial],
    there: Mapping[str, Any],
    space: Space,
    fixed: Mapping[str, Any],
    known: Sequence[Mapping[str, Choice]],
) -> Mapped:
    """Settings of `trials` by path in a space with these `fixed` settings, without those that are `known` or repeated.

    `there` are the nested fixed settings of the study that the trials are of: what it did not search counts too.
    """
    found, seen = Mapped(), [dict(values) for values in known]
    searched = space.distributions
    for trial in trials:
        for path in trial.params.keys() - searched.keys():
            found.leave(path, "searched there and not here", trial.number)
        values = _values(trial, there, space, fixed, found)
        if values in seen:
            found.repeated += 1
        elif values:
            seen.append(values)
            found.taken.append(Taken(trial.number, _value(trial), values))
    return found


def _values(
    trial: FrozenTrial, there: Mapping[str, Any], space: Space, fixed: Mapping[str, Any], found: Mapped
) -> dict[str, Choice]:
    values: dict[str, Choice] = {}
    for path, distribution in space.distributions.items():
        try:
            came = trial.params[path] if path in trial.params else setting(there, path)
        except SpaceError:
            found.leave(path, "no setting there; it is sampled", trial.number)
            continue
        try:
            wanted = {**values, path: fitted(path, distribution, came)}
        except SpaceError as error:
            found.leave(path, f"{error.message}; it is sampled", trial.number)
            continue
        try:
            values = space.check(wanted, fixed)
        except SpaceError:
            # What the other study did not search either says nothing.
            if path in trial.params:
                found.leave(path, "not searched here with the other values of the trial", trial.number)
    return values


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None  # of every COMPLETE trial
    return trial.value


def _few(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - FEW} more" if len(numbers) > FEW else ""
    return f"trial {', '.join(map(str, numbers[:FEW]))}{more}"
