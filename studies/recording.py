"""What a study writes to MLflow, and how MLflow catches up after a crash."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.records.mlflow_recorder import MlflowRecorder
from search.records.mlflow_store import Family, MlflowStore
from search.states import MLFLOW_STATUS, Reason
from studies.provenance import git_state, versions
from studies.stored import trials_left
from studies.study_settings import StudySettings
from studies.workspace import Workspace
from trainables.trial_folder import TrialFolder

CHANGING = ("search.trials", "search.hours", "rows.", "base")


@contextmanager
def recording(
    study: optuna.Study,
    settings: StudySettings,
    workspace: Workspace,
    say: Callable[[str], None],
    family: Family | None = None,
) -> Iterator[MlflowRecorder]:
    """The study's recorder while its driver runs: MLflow is brought up to date first, and all is written at the end.

    The runs of a `family` other than the search's stand in the same experiment.
    """
    store = MlflowStore(workspace.tracking, settings.name, workspace.artifacts, "best/val_miou", family)
    git = git_state(Path.cwd())
    facts = study.user_attrs["facts"]
    # Budget and rows may grow, and MLflow's parameters cannot change: they stand in study.json.
    flat = {key: value for key, value in flatten(settings.resolved()).items() if not key.startswith(CHANGING)}
    artifacts = {
        "study.json": json.dumps(settings.resolved(), indent=1),
        "versions.json": json.dumps(versions(), indent=1),
        "facts.json": json.dumps(facts, indent=1),
    }
    if git.get("diff"):
        artifacts["uncommitted.diff"] = git["diff"]
    tags = {f"contourney.fingerprint.{split}": value for split, value in facts["fingerprints"].items()}
    tags |= {"contourney.metric": facts["metric"]} | ({"mlflow.source.git.commit": git["commit"]} if git else {})
    store.describe(flat, tags, artifacts)

    def finish(number: int) -> dict[str, Any]:
        return trial_artifacts(workspace.trial_folder(study.study_name, number), facts["class_names"])

    catch_up(study, store, workspace, finish)
    recorder = MlflowRecorder(store, finish, say)
    try:
        yield recorder
    finally:
        recorder.close()
        if recorder.missing:
            again = f"contourney resume {settings.name}" if family is None else "the same command again"
            say(f"MLflow lacks {recorder.missing} records; {again} writes them")
        else:
            store.close_study(not trials_left(study))


def catch_up(
    study: optuna.Study, store: MlflowStore, workspace: Workspace, finish: Callable[[int], Mapping[str, Any]]
) -> None:
    """Write to MLflow what a crash kept from it, from Optuna and the trial folders; what is there stays as it is."""
    for trial in study.get_trials(deepcopy=False):
        # Without a reason it waits for its first start.
        never_started = trial.state is TrialState.WAITING and trial.user_attrs.get("reason") is None
        # A trial that waits is written again whatever MLflow says of it: it may have gone on, and died, unseen there.
        told = trial.state.is_finished() and store.states.get(trial.number) == (
            trial.state.name,
            MLFLOW_STATUS[trial.state],
        )
        if trial.state is TrialState.RUNNING or never_started or told:
            continue
        store.open_trial(trial.number, trial.params)
        for row in TrialFolder(workspace.trial_folder(study.study_name, trial.number)).rows():
            if row["epoch"] in trial.intermediate_values:
                store.add_epoch(trial.number, row)
        store.close_trial(
            trial.number,
            trial.state,
            Reason(trial.user_attrs["reason"]),
            _ended_s(trial),
            finish(trial.number) if trial.state.is_finished() else {},
        )


def trial_artifacts(folder: Path, class_names: list[str]) -> dict[str, Any]:
    """A trial's files for MLflow: IoU per class by epoch, the settings it really used, and its best value."""
    rows = TrialFolder(folder).rows()
    valued = [row for row in rows if row["value"] is not None]
    if not valued:
        return {}
    best = max(valued, key=lambda row: (row["value"], -row["epoch"]))
    ious = {str(row["epoch"]): _named(row["arrays"].get("val/iou", []), class_names) for row in rows}
    files: dict[str, Any] = {
        "iou_per_class.json": {"best_epoch": best["epoch"], "epochs": ious},
        "best": (best["value"], best["epoch"]),
    }
    applied = folder / "applied.json"
    if applied.is_file():
        files["applied.json"] = json.loads(applied.read_text(encoding="utf-8"))
    return files


def _named(ious: list[float | None], class_names: list[str]) -> dict[str, float | None]:
    """IoU by class; a user's own trainable may have other classes than the data, which then go by number."""
    names = class_names if len(class_names) == len(ious) else [str(index) for index in range(len(ious))]
    return dict(zip(names, ious, strict=True))


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted paths."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{prefix}{key}"
        flat |= flatten(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return flat


def _ended_s(trial: FrozenTrial) -> float:
    when = trial.datetime_complete or trial.datetime_start
    assert when is not None
    return when.timestamp()
