"""A study as data, and written again under any name into any storage, number for number."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from search.storage import CREATED

# The genetic sampler's parents of a generation, which it keeps by the storage's own trial ids.
_PARENTS = ":parent:"
# Marks a copy that is whole (see search.replacing), and is no part of what was copied.
READY = "contourney:ready"


class CopyError(RuntimeError):
    """A copy cannot be made, or is not what was copied; the original is as it was."""


@dataclass(frozen=True)
class StudyContent:
    """All that Optuna keeps of a study, except its name and the storage's own ids; trials in the order of numbers.

    Where Optuna names trials by ids, in `system_attrs`, these are numbers.
    """

    directions: Sequence[StudyDirection]
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]
    trials: Sequence[FrozenTrial]


def read_content(study: optuna.Study) -> StudyContent:
    """What a study holds."""
    system = study._storage.get_study_system_attrs(study._study_id)
    trials = sorted(study.get_trials(deepcopy=False), key=lambda trial: trial.number)
    numbers = {trial._trial_id: trial.number for trial in trials}
    return StudyContent(
        directions=list(study.directions),
        user_attrs={key: value for key, value in study.user_attrs.items() if key != READY},
        system_attrs={key: _translated(key, value, numbers) for key, value in system.items()},
        trials=trials,
    )


def write_content(content: StudyContent, name: str, storage: BaseStorage) -> optuna.Study:
    """A new study of this content; raises CopyError where the name is taken or what is read back differs."""
    if name in optuna.get_all_study_names(storage):
        raise CopyError(f"there is a study {name!r} already")
    # A second attempt, after a commit that was not acknowledged, finds what the first one made.
    study = optuna.create_study(
        study_name=name, storage=storage, directions=list(content.directions), load_if_exists=True
    )
    for key, value in content.user_attrs.items():
        storage.set_study_user_attr(study._study_id, key, value)
    ids = {trial.number: storage.create_new_trial(study._study_id, template_trial=trial) for trial in content.trials}
    for key, value in content.system_attrs.items():
        storage.set_study_system_attr(study._study_id, key, _translated(key, value, ids))
    if difference := find_difference(content, read_content(study)):
        raise CopyError(f"{difference} was not written to {name!r} as it was read; the original is as it was")
    return study


def find_difference(one: StudyContent, other: StudyContent) -> str | None:
    """In what two studies differ, None where they are the same."""
    for what in ("directions", "user_attrs", "system_attrs"):
        if _text(getattr(one, what)) != _text(getattr(other, what)):
            return what
    if len(one.trials) != len(other.trials):
        return f"the number of trials, {len(one.trials)},"
    pairs = zip(one.trials, other.trials, strict=True)
    return next((f"trial {a.number}" for a, b in pairs if _text(trial_data(a)) != _text(trial_data(b))), None)


def trial_data(trial: FrozenTrial) -> dict[str, Any]:
    """A trial as JSON values; times in ISO format, local as Optuna has them."""
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "datetime_start": trial.datetime_start.isoformat() if trial.datetime_start else None,
        "datetime_complete": trial.datetime_complete.isoformat() if trial.datetime_complete else None,
        "params": trial.params,
        "distributions": {path: distribution_to_json(one) for path, one in trial.distributions.items()},
        "user_attrs": trial.user_attrs,
        # How a database's trial was made is no part of it.
        "system_attrs": {key: value for key, value in trial.system_attrs.items() if key != CREATED},
        "intermediate_values": {str(step): value for step, value in sorted(trial.intermediate_values.items())},
    }


def _translated(key: str, value: Any, names: Mapping[int, int]) -> Any:
    """A system attribute with other names of trials."""
    return [names[one] for one in value] if _PARENTS in key else value


def _text(value: Any) -> str:
    # As text NaN equals NaN.
    return json.dumps(value, sort_keys=True)
