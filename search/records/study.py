"""A study as it is recorded: Optuna's storage and the rows of the trial folders, read and never written."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from search.replacing import load_whole, whole_studies
from search.storage import is_url, open_storage, shown

NAN = float("nan")
# The file of a trial's rows in its folder.
ROWS = "epochs.jsonl"


class RecordError(ValueError):
    """A study's records cannot be read as asked."""


@dataclass(frozen=True)
class Row:
    """One epoch of a trial; times are seconds (Unix), undefined numbers NaN."""

    epoch: int
    value: float | None
    metrics: dict[str, float]
    arrays: dict[str, list[float]]
    started_s: float
    ended_s: float
    device_s: float
    worker: str
    end: str | None


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    `params` are by dotted path; `value` is the best epoch's where COMPLETE and the last where PRUNED; `values` are
    by epoch, from Optuna; `violated` says that a constraint is (diverged, out of memory).
    """

    number: int
    state: str
    reason: str | None
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    value: float | None
    values: dict[int, float]
    best_epoch: int | None
    audit: bool
    violated: bool
    started_s: float | None
    ended_s: float | None
    attrs: dict[str, Any]
    folder: Path

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The whole rows of the trial's epochs.jsonl, none where it has no such file; raises RecordError."""
        return read_rows(self.folder / ROWS)

    def row(self, epoch: int | None) -> Row | None:
        """One epoch's row, None where there is none; raises RecordError."""
        return next((row for row in self.rows if row.epoch == epoch), None)

    @property
    def device_s(self) -> float | None:
        """Device seconds of all its epochs, None where no row is here; raises RecordError."""
        return sum(row.device_s for row in self.rows) if self.rows else None


@dataclass(frozen=True)
class StudyRecord:
    """One study: the resolved study file, facts about data, budget and promotion, and all trials by number."""

    name: str
    maximize: bool
    metric: str
    settings: dict[str, Any]
    facts: dict[str, Any]
    trials: tuple[TrialRecord, ...]


def read_study(storage: str, name: str, root: Path | None = None) -> StudyRecord:
    """Read study `name` from the storage at a URL or journal path.

    Trial folders that are recorded as relative paths lie under `root`, by default the journal's folder. Raises
    RecordError for a study that is not there, StorageError for a storage that is not.
    """
    opened = open_storage(storage)
    names = sorted(whole_studies(opened.get_all_studies()))
    if name not in names:
        known = ", ".join(map(repr, names)) or "none"
        raise RecordError(f"no study {name!r} in {shown(storage)}; expected one of: {known}")
    root = trials_root(storage) if root is None else root
    try:
        study = load_whole(name, opened)
        trials = tuple(trial_record(trial, root) for trial in study.get_trials(deepcopy=False))
        return study_record(name, study.directions, study.user_attrs, trials)
    except KeyError as error:
        raise RecordError(f"study {name!r} was deleted or changed at this moment; try again") from error


def trials_root(storage: str) -> Path:
    """Where the trial folders lie that are recorded as relative paths: the journal's folder, else the current one."""
    return Path.cwd() if is_url(storage) else Path(storage).absolute().parent


def study_record(
    name: str, directions: Sequence[StudyDirection], attrs: Mapping[str, Any], trials: tuple[TrialRecord, ...]
) -> StudyRecord:
    """The record of a study with these attributes and trials; raises RecordError for several objectives."""
    if len(directions) > 1:
        raise RecordError(f"study {name!r} has {len(directions)} objectives; expected a study with one")
    return StudyRecord(
        name=name,
        maximize=directions[0] is StudyDirection.MAXIMIZE,
        metric=attrs.get("metric", "objective value"),
        settings=attrs.get("study", {}),
        facts=_facts(attrs),
        trials=trials,
    )


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows of an epochs.jsonl; a last line that was cut short by a crash is no row. Raises RecordError."""
    if not path.is_file():
        return ()
    content = path.read_bytes()
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return tuple(_row(line, f"{path}, line {index}") for index, line in enumerate(lines, start=1))


def _row(line: bytes, place: str) -> Row:
    try:
        row = json.loads(line)
        return Row(
            epoch=int(row["epoch"]),
            value=row["value"],
            metrics={key: _number(value) for key, value in row["metrics"].items()},
            arrays={key: [_number(value) for value in values] for key, values in row["arrays"].items()},
            started_s=row["started_s"],
            ended_s=row["ended_s"],
            device_s=row["device_s"],
            worker=row["worker"],
            end=row["end"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{place}: expected one epoch's row as JSON, got {line[:80]!r} ({error})") from error


def trial_record(trial: FrozenTrial, root: Path) -> TrialRecord:
    """One trial as Optuna has it, its folder being relative to `root`."""
    attrs = trial.user_attrs
    return TrialRecord(
        number=trial.number,
        state=trial.state.name,
        reason=attrs.get("reason"),
        params=dict(trial.params),
        distributions=dict(trial.distributions),
        value=_finite(trial.values[0]) if trial.values else None,
        values=dict(sorted(trial.intermediate_values.items())),
        best_epoch=attrs.get("best_epoch"),
        audit=bool(attrs.get("audit", False)),
        violated=any(value > 0 for value in trial.constraints.values()),
        started_s=trial.datetime_start.timestamp() if trial.datetime_start else None,
        ended_s=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
        attrs=dict(attrs),
        # A trial that never started has no folder; this one does not exist either.
        folder=root / attrs.get("folder", f"no-folder-of-trial-{trial.number}"),
    )


def _facts(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """What was found at the launch, with budget, time spent and promotion, which change later."""
    search = attrs.get("study", {}).get("search", {})
    facts = dict(attrs.get("facts", {}))
    facts["budget"] = {"trials": search.get("trials"), "hours": search.get("hours")}
    facts["driver_s"] = float(attrs.get("driver_s", 0.0))
    # The URI that trial folders are kept at, if not in the workspace.
    if attrs.get("storage") is not None:
        facts["storage"] = attrs["storage"]
    if "promotion" in attrs:
        facts["promotion"] = attrs["promotion"]
    return facts


def _number(value: float | None) -> float:
    return NAN if value is None else float(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
