"""The first trials of a study, whose settings were chosen before it began; each is made once, whatever dies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna

from search.space_settings import Choice

# What asked for a trial, as its attribute: a request, or one of the first trials.
ENQUEUED = "enqueued"
# The study's attribute with its first trials.
FIRST = "first_trials"


@dataclass(frozen=True)
class FirstTrial:
    """Values by dotted path, the rest being sampled; `by` is what asked, and told apart from all others."""

    by: str
    values: Mapping[str, Choice]


def keep_first(study: optuna.Study, trials: Sequence[FirstTrial]) -> None:
    """Keep the first trials with a new study; they are made by `enqueue_first`."""
    study.set_user_attr(FIRST, [asdict(trial) for trial in trials])


def enqueue_first(study: optuna.Study) -> None:
    """Make those of the first trials that are not there yet; only the lease's holder may."""
    made = {trial.user_attrs.get(ENQUEUED) for trial in study.get_trials(deepcopy=False)}
    for one in study.user_attrs.get(FIRST, ()):
        if one["by"] not in made:
            study.enqueue_trial(dict(one["values"]), user_attrs={ENQUEUED: one["by"]})


def enqueue_once(study: optuna.Study, by: str, values: Mapping[str, Any]) -> int:
    """The number of the trial with these values that `by` asks for; it is made unless it is there."""
    for trial in study.get_trials(deepcopy=False):
        if trial.user_attrs.get(ENQUEUED) == by:
            return trial.number
    study.enqueue_trial(dict(values), user_attrs={ENQUEUED: by})
    return max(trial.number for trial in study.get_trials(deepcopy=False) if trial.user_attrs.get(ENQUEUED) == by)
