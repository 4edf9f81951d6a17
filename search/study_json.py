"""A study's content as JSON values and back; what comes from a file is checked before it is anything."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from optuna.distributions import json_to_distribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search.copying import StudyContent, trial_data

# What a database takes.
MAX_STEP = 1 << 31


class ContentError(ValueError):
    """JSON values that are no study."""


class _Trial(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    number: int
    state: Literal["RUNNING", "WAITING", "COMPLETE", "PRUNED", "FAIL"]
    values: Annotated[list[float], Field(min_length=1, max_length=1)] | None
    datetime_start: str | None
    datetime_complete: str | None
    params: dict[str, bool | int | float | str | None]
    distributions: dict[str, str]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    intermediate_values: dict[str, float]


class _Study(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    directions: list[Literal["MINIMIZE", "MAXIMIZE"]]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    trials: list[_Trial]


def content_data(content: StudyContent) -> dict[str, Any]:
    """A study's content as JSON values."""
    return {
        "directions": [direction.name for direction in content.directions],
        "user_attrs": dict(content.user_attrs),
        "system_attrs": dict(content.system_attrs),
        "trials": [trial_data(trial) for trial in content.trials],
    }


def content_of(data: Any) -> StudyContent:
    """The study of such values; raises ContentError with what is wrong."""
    try:
        found = _Study.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ContentError(f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}") from error
    if len(found.directions) != 1:
        raise ContentError(f"directions: expected one, got {len(found.directions)}")
    if [trial.number for trial in found.trials] != list(range(len(found.trials))):
        raise ContentError("trials: expected the numbers from 0 on, each once")
    return StudyContent(
        directions=[StudyDirection[name] for name in found.directions],
        user_attrs=found.user_attrs,
        system_attrs=found.system_attrs,
        trials=[_trial(trial) for trial in found.trials],
    )


def _trial(data: _Trial) -> FrozenTrial:
    try:
        trial = FrozenTrial(
            number=data.number,
            state=TrialState[data.state],
            value=None,
            values=data.values,
            datetime_start=_time(data.datetime_start),
            datetime_complete=_time(data.datetime_complete),
            params=dict(data.params),
            distributions={path: json_to_distribution(text) for path, text in data.distributions.items()},
            user_attrs=data.user_attrs,
            system_attrs=data.system_attrs,
            intermediate_values=_steps(data.intermediate_values),
            trial_id=data.number,
        )
        trial._validate()
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ContentError(f"trial {data.number}: {error}") from error
    return trial


def _time(text: str | None) -> datetime | None:
    found = None if text is None else datetime.fromisoformat(text)
    if found is not None and found.tzinfo is not None:
        raise ValueError(f"{text}: expected a local time, as Optuna has them")
    return found


def _steps(values: Mapping[str, float]) -> dict[int, float]:
    steps = {int(step): value for step, value in values.items()}
    if not all(0 <= step < MAX_STEP for step in steps):
        raise ValueError(f"steps {min(steps)} to {max(steps)}: expected them from 0 to {MAX_STEP}")
    return steps
