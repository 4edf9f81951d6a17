"""Past trials in a changed space: what they had stays, what they really ran with is filled in."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial

from search.space import Space, fitted, setting
from search.space_settings import Choice, SpaceError


class SpaceChangeError(ValueError):
    """A space that leaves out what was tried already."""


@dataclass
class Rewritten:
    """Trials in a changed space; `filled` counts, by path, those that got the fixed value they had run with.

    `lost` holds the numbers of the trials that the space leaves out and why, by path.
    """

    trials: list[FrozenTrial] = field(default_factory=list)
    filled: dict[str, int] = field(default_factory=dict)
    lost: dict[str, list[tuple[int, str]]] = field(default_factory=dict)


def rewrite_trials(trials: Sequence[FrozenTrial], old: Space, new: Space, fixed: Mapping[str, Any]) -> Rewritten:
    """The trials with the distributions of a space that holds all of them, everything else as it was.

    A parameter that is new to a trial has the fixed value in it: a joint model uses only trials that have all of its
    parameters, and a trial that goes on must keep what it began with. Trials that never began draw it. Raises
    SpaceChangeError, with a line for each parameter, where the new space leaves out a past trial.
    """
    done = Rewritten()
    for trial in trials:
        again = copy.deepcopy(trial)
        again.params = _values(trial, old, new, fixed, done)
        again.distributions = {path: new.distributions[path] for path in again.params}
        done.trials.append(again)
    if done.lost:
        lines = [f"  {path}: {_first(trials)}" for path, trials in done.lost.items()]
        raise SpaceChangeError("\n".join(["the new space must hold every past trial, and leaves some out:", *lines]))
    return done


def _values(trial: FrozenTrial, old: Space, new: Space, fixed: Mapping[str, Any], done: Rewritten) -> dict[str, Choice]:
    def lose(path: str, why: str) -> None:
        done.lost.setdefault(path, []).append((trial.number, why))

    drawn = {parameter.path for parameter in old if parameter.holds(trial.params, fixed)}
    # A trial that never began, or that a crash left before it had all values, draws the rest when it starts.
    began = trial.datetime_start is not None and (trial.state.is_finished() or drawn <= trial.params.keys())
    # What an enqueued trial will have.
    asked = trial.system_attrs.get("fixed_params", {})
    values: dict[str, Choice] = {}
    for parameter in new:
        path, active = parameter.path, parameter.holds(values, fixed)
        if path in trial.params and not active:
            lose(path, "its new condition does not hold")
        try:
            if path in trial.params:
                values[path] = fitted(path, parameter.distribution, trial.params[path])
            elif active and began and path not in drawn:
                values[path] = fitted(path, parameter.distribution, setting(fixed, path))
                done.filled[path] = done.filled.get(path, 0) + 1
            elif path in asked:
                fitted(path, parameter.distribution, asked[path])
        except SpaceError as error:
            lose(path, error.message)
    for path in sorted((trial.params.keys() | asked.keys()) - new.distributions.keys()):
        lose(path, "a parameter that was searched cannot be taken out")
    return values


def _first(lost: Sequence[tuple[int, str]]) -> str:
    (number, why), *others = lost
    return f"trial {number}: {why}" + (f"; and {len(others)} more trials" if others else "")
