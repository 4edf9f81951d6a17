"""The finalists of a study: its best complete trials, then the pruned ones that came furthest."""

from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from search.states import VIOLATIONS


@dataclass(frozen=True)
class Finalist:
    """A trial of the search: its value, None for one that was pruned and is trained to the end first."""

    trial: FrozenTrial
    value: float | None

    @property
    def number(self) -> int:
        """The trial's number in the search."""
        return self.trial.number

    @property
    def key(self) -> str:
        """What its runs outside of the search are called."""
        return f"trial {self.number}"


def shortlist(trials: Iterable[FrozenTrial], finalists: int) -> list[Finalist]:
    """At most `finalists` trials: COMPLETE ones by value, then PRUNED ones by last epoch and value there.

    One that diverged or did not fit is none. Equal ones are in the order of their numbers.
    """
    known = list(trials)
    complete = [trial for trial in known if trial.state is TrialState.COMPLETE]
    complete.sort(key=lambda trial: (-_value(trial), trial.number))
    pruned = [
        trial
        for trial in known
        if trial.state is TrialState.PRUNED
        and trial.intermediate_values
        and trial.user_attrs.get("reason") not in VIOLATIONS
    ]
    pruned.sort(key=lambda trial: (-_last(trial)[0], -_last(trial)[1], trial.number))
    chosen = [Finalist(trial, trial.value) for trial in complete] + [Finalist(trial, None) for trial in pruned]
    return chosen[:finalists]


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None  # Optuna has one of every COMPLETE trial
    return trial.value


def _last(trial: FrozenTrial) -> tuple[int, float]:
    """The last epoch and the value there."""
    epoch = max(trial.intermediate_values)
    return epoch, trial.intermediate_values[epoch]
