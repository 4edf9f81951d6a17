"""A study's records as outsiders find them, read directly: Optuna's journal, MLflow's database, trial folders."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

from benchmarks.expect import ProofError

PAGE = 1000


@dataclass(frozen=True)
class Records:
    """Trials in Optuna; MLflow's parent run, its children by trial number and their points (step, value) of val/miou;
    rows of the trial folders by number."""

    workspace: Path
    name: str
    attributes: Mapping[str, Any]
    trials: tuple[FrozenTrial, ...]
    parent: Run
    runs: Mapping[int, Run]
    points: Mapping[int, list[tuple[int, float]]]
    rows: Mapping[int, list[dict[str, Any]]]

    def folder(self, trial: FrozenTrial) -> Path:
        """The folder of a trial."""
        return self.workspace / str(trial.user_attrs["folder"])

    @property
    def best(self) -> FrozenTrial:
        """The COMPLETE trial of the highest value, the first of equals."""
        complete = [trial for trial in self.trials if trial.state is TrialState.COMPLETE]
        if not complete:
            raise ProofError(f"study {self.name}: expected a complete trial, got none")
        return max(complete, key=lambda trial: (trial.value, -trial.number))


def open_records(workspace: Path, storage: str | None = None) -> BaseStorage | None:
    """Optuna's storage at a database URL, by default the workspace's journal; None where there is no journal yet."""
    if storage is not None:
        # Optuna has no end for a storage: no connection is kept that nobody closes.
        return RDBStorage(storage, engine_kwargs={"poolclass": NullPool})
    journal = workspace / "optuna.journal"
    return JournalStorage(JournalFileBackend(str(journal))) if journal.is_file() else None


def read_trials(workspace: Path, name: str, storage: str | None = None) -> tuple[FrozenTrial, ...]:
    """The study's trials in Optuna's storage; none where there is no such study yet."""
    opened = open_records(workspace, storage)
    if opened is None or name not in [study.study_name for study in opened.get_all_studies()]:
        return ()
    return tuple(optuna.load_study(study_name=name, storage=opened).trials)


def read_records(workspace: Path, name: str, storage: str | None = None, tracking: str | None = None) -> Records:
    """All records of a study whose driver has ended; raises ProofError where MLflow lacks its experiment.

    Storage and MLflow are the workspace's own where no URL is given.
    """
    opened = open_records(workspace, storage)
    if opened is None:
        raise ProofError(f"expected Optuna's journal in {workspace}, got none")
    study = optuna.load_study(study_name=name, storage=opened)
    trials = tuple(study.trials)
    client = MlflowClient(tracking or f"sqlite:///{workspace / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        raise ProofError(f"expected an MLflow experiment called {name!r}, got none")
    found = list(client.search_runs([experiment.experiment_id], max_results=PAGE))
    parents = [run for run in found if run.data.tags.get("contourney.study") == name]
    if len(parents) != 1:
        raise ProofError(f"expected one run tagged contourney.study = {name}, got {len(parents)}")
    children = [run for run in found if "contourney.trial" in run.data.tags]
    numbers = sorted(int(run.data.tags["contourney.trial"]) for run in children)
    if len(set(numbers)) != len(numbers):
        raise ProofError(f"expected one MLflow run a trial, got runs of the trials {numbers}")
    runs = {int(run.data.tags["contourney.trial"]): run for run in children}
    points = {
        number: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "val/miou")]
        for number, run in runs.items()
    }
    rows = {trial.number: _rows(workspace, trial) for trial in trials}
    return Records(workspace, name, study.user_attrs, trials, parents[0], runs, points, rows)


def _rows(workspace: Path, trial: FrozenTrial) -> list[dict[str, Any]]:
    path = workspace / str(trial.user_attrs.get("folder", "")) / "epochs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
