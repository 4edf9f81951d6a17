"""One of Optuna's trials as a row of the index, and back, exact."""

import datetime
import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState

# What a row raises that holds something else.
UNUSABLE = (ValueError, LookupError, TypeError, AttributeError)


def put_trials(connection: sqlite3.Connection, trials: Iterable[tuple[int, FrozenTrial]]) -> None:
    """Write trials, each with the id of its study, over what the index has of them."""
    question = "insert or replace into trials values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    connection.executemany(question, (_cells(trial, study_id) for study_id, trial in trials))


def read_trials(connection: sqlite3.Connection) -> Iterator[tuple[int, FrozenTrial]]:
    """All trials by their ids, each with the id of its study; raises one of UNUSABLE."""
    same: dict[str, dict[str, BaseDistribution]] = {}
    for trial_id, study_id, *cells in connection.execute("select * from trials order by trial_id"):
        yield study_id, _trial(trial_id, cells, same)


def _cells(trial: FrozenTrial, study_id: int) -> tuple[Any, ...]:
    """A trial as a row of the table, exact: parameters as Optuna's journal has them, values as 64-bit floats."""
    others = {
        "params": {key: trial.distributions[key].to_internal_repr(value) for key, value in trial.params.items()},
        "user": trial.user_attrs,
        "system": trial.system_attrs,
        "values": trial.values,
    }
    distributions = {key: distribution_to_json(one) for key, one in trial.distributions.items()}
    return (
        trial._trial_id, study_id, trial.number, int(trial.state), _date(trial.datetime_start),
        _date(trial.datetime_complete), json.dumps(distributions), json.dumps(others),
        array("q", trial.intermediate_values).tobytes(), array("d", trial.intermediate_values.values()).tobytes(),
    )  # fmt: skip


def _trial(trial_id: int, cells: list[Any], same: dict[str, dict[str, BaseDistribution]]) -> FrozenTrial:
    number, state, started, ended, distributions_json, others_json, steps, points = cells
    # Trials of one space share its distributions.
    distributions = same.get(distributions_json)
    if distributions is None:
        texts = json.loads(distributions_json)
        distributions = same[distributions_json] = {key: json_to_distribution(text) for key, text in texts.items()}
    others = json.loads(others_json)
    return FrozenTrial(
        trial_id=trial_id,
        number=number,
        state=TrialState(state),
        value=None,
        values=others["values"],
        datetime_start=_local(started),
        datetime_complete=_local(ended),
        params={key: distributions[key].to_external_repr(value) for key, value in others["params"].items()},
        distributions=distributions,
        user_attrs=others["user"],
        system_attrs=others["system"],
        intermediate_values=dict(zip(array("q", steps), array("d", points), strict=True)),
    )


def _date(local: datetime.datetime | None) -> str | None:
    """A local time, as Optuna has them, in UTC: it is read in whatever time zone."""
    return None if local is None else local.astimezone(datetime.UTC).isoformat(timespec="microseconds")


def _local(text: str | None) -> datetime.datetime | None:
    return None if text is None else datetime.datetime.fromisoformat(text).astimezone().replace(tzinfo=None)
