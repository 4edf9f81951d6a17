"""MLflow brought to what Optuna and the trial folders say: compared first, so that nothing is written twice."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from search.records.mlflow_points import TrialEnd, best_point, file_text, row_points
from search.records.mlflow_store import METRICS_A_BATCH, REASON, STATE, MlflowStore
from search.states import MLFLOW_STATUS, Reason


@dataclass
class Changes:
    """What was written: runs created, replaced and removed, metric points and files added, states and tags changed."""

    created: int = 0
    replaced: int = 0
    removed: int = 0
    points: int = 0
    files: int = 0
    told: int = 0

    def add(self, other: "Changes") -> None:
        """Count another's too."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def __str__(self) -> str:
        words = {
            "created": "runs created",
            "replaced": "runs replaced that contradicted Optuna",
            "removed": "second runs of a trial removed",
            "points": "metric points added",
            "files": "files written",
            "told": "states, parameters or tags corrected",
        }
        return ", ".join(f"{getattr(self, key)} {text}" for key, text in words.items() if getattr(self, key))


@dataclass(frozen=True)
class WantedRun:
    """What the run of a trial must have; times in seconds since 1970."""

    number: int
    values: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    state: TrialState
    reason: Reason | None
    started_s: float
    ended_s: float
    end: TrialEnd


class MlflowMirror:
    """Compares the runs of a store with what they must be and writes the difference.

    Metric points and parameters of a run cannot be changed or removed: a run with wrong ones is deleted (MLflow keeps
    it in its trash) and written anew. What other people added to a run stays.
    """

    def __init__(self, store: MlflowStore) -> None:
        self._store = store
        self._client = store.client

    def put_trial(self, wanted: WantedRun) -> Changes:
        """Bring the run of one trial to what it must be."""
        changes = Changes()
        for double in self._store.doubles.pop(wanted.number, ()):
            self._client.delete_run(double)
            changes.removed += 1
        points = {(point.key, point.step): point for row in wanted.rows for point in row_points(row)}
        if wanted.end.best is not None:
            best = best_point(self._store.best_metric, wanted.end)
            points[best.key, best.step] = best
        parameters = self._store.parameters(wanted.number, wanted.values)
        run_id = self._store.runs.get(wanted.number)
        data = None if run_id is None else self._client.get_run(run_id).data
        ours = {self._store.best_metric, *(key for key, _ in points)}
        have = {} if run_id is None or data is None else self._points(run_id, ours & set(data.metrics))
        if data is None:
            changes.created += 1
        elif _contradicts(have, points) or any(data.params.get(key, text) != text for key, text in parameters.items()):
            self._client.delete_run(run_id)
            del self._store.runs[wanted.number]
            run_id, have = None, {}
            changes.replaced += 1
        lacking = [point for place, point in points.items() if place not in have]
        corrected = self._add(
            run_id or self._store.create(wanted.number, wanted.started_s), wanted, parameters, lacking
        )
        changes.points, changes.files = len(lacking), corrected.files
        # What a new run gets is part of its creation.
        changes.told = 0 if run_id is None else corrected.told
        return changes

    def put_parent(
        self, parameters: Mapping[str, str], tags: Mapping[str, str], texts: Mapping[str, str], finished: bool | None
    ) -> Changes:
        """Bring what the whole study shares to the parent run: new parameters, tags, files, and its state if given."""
        changes, run_id = Changes(), self._store.parent_id
        run = self._client.get_run(run_id)
        if new := {key: text for key, text in parameters.items() if key not in run.data.params}:
            self._store.add_parameters(run_id, new)
            changes.told += len(new)
        for key, value in tags.items():
            if run.data.tags.get(key) != value:
                self._client.set_tag(run_id, key, value)
                changes.told += 1
        changes.files += self._put_files(run_id, texts)
        if finished is not None and run.info.status != ("FINISHED" if finished else "SCHEDULED"):
            self._store.close_study(finished)
            changes.told += 1
        return changes

    def _add(self, run_id: str, wanted: WantedRun, parameters: Mapping[str, str], lacking: Sequence[Any]) -> Changes:
        run = self._client.get_run(run_id)
        new = {key: text for key, text in parameters.items() if key not in run.data.params}
        self._store.add_parameters(run_id, new)
        for start in range(0, len(lacking), METRICS_A_BATCH):
            self._client.log_batch(run_id, metrics=lacking[start : start + METRICS_A_BATCH])
        files = self._put_files(run_id, {name: file_text(value) for name, value in wanted.end.files.items()})
        tags = run.data.tags
        told = (tags.get(STATE), run.info.status) == (wanted.state.name, MLFLOW_STATUS[wanted.state])
        told = told and (wanted.reason is None or tags.get(REASON) == wanted.reason)
        if not told:
            self._store.tell(run_id, wanted.state, wanted.reason, wanted.ended_s)
        return Changes(files=files, told=len(new) + (not told))

    def _points(self, run_id: str, keys: Iterable[str]) -> dict[tuple[str, int], list[float]]:
        found: dict[tuple[str, int], list[float]] = {}
        for key in sorted(keys):
            for point in self._client.get_metric_history(run_id, key):
                found.setdefault((key, point.step), []).append(point.value)
        return found

    def _put_files(self, run_id: str, texts: Mapping[str, str]) -> int:
        if not texts:
            return 0
        there = {entry.path for entry in self._client.list_artifacts(run_id)}
        new = {name: text for name, text in texts.items() if name not in there or self._text(run_id, name) != text}
        self._store.log_files(run_id, new)
        return len(new)

    def _text(self, run_id: str, name: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            return Path(self._client.download_artifacts(run_id, name, folder)).read_text(encoding="utf-8")


def _contradicts(have: Mapping[tuple[str, int], list[float]], points: Mapping[tuple[str, int], Any]) -> bool:
    """Whether a run has a point twice, with another value, or at an epoch that the trial does not have."""
    return any(place not in points or values != [points[place].value] for place, values in have.items())
