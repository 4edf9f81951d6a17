"""What a study writes to MLflow, and how MLflow catches up after a crash."""

import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.records.mlflow_mirror import Changes, MlflowMirror, WantedRun
from search.records.mlflow_points import TrialEnd
from search.records.mlflow_recorder import MlflowRecorder
from search.records.mlflow_store import Family, MlflowStore, TrackingError
from search.states import MLFLOW_STATUS, Reason
from search.storage import StorageLost, masked, shown
from studies.files.study_settings import StudySettings
from studies.running.places import SMALL, fetch_records, trial_place
from studies.running.provenance import git_state, versions
from studies.running.trial_place import PlaceGone
from studies.stored import trials_left
from studies.workspace import Workspace
from trainables.trial_folder import FolderError, TrialFolder

# Budget, rows and space may change, and MLflow's parameters cannot; nor do they hold a list of settings: they stand in
# study.json.
CHANGING = ("search.trials", "search.hours", "search.enqueue", "rows.", "space.", "base")
# The metric that Optuna has as a trial's values, and the one of its best.
VALUE, BEST = "val/miou", "best/val_miou"


@contextmanager
def recording(
    study: optuna.Study,
    settings: StudySettings,
    workspace: Workspace,
    say: Callable[[str], None],
    family: Family | None = None,
) -> Iterator[MlflowRecorder]:
    """The study's recorder while its driver runs: MLflow is brought up to date first, and all is written at the end.

    The runs of a `family` other than the search's stand in the same experiment. Raises TrackingError where MLflow
    does not answer at the beginning; what it does not take later is said at the end.
    """
    facts = study.user_attrs["facts"]
    with answering(workspace):
        store = MlflowStore(workspace.tracking, settings.name, workspace.artifacts, BEST, family)
        # As it was stored: a later version may resolve more.
        parameters, tags, texts = description(facts, study.user_attrs.get("study", settings.resolved()))
        git = git_state(Path.cwd())
        texts["versions.json"] = json.dumps(versions(), indent=1)
        if git:
            tags["mlflow.source.git.commit"] = git["commit"]
        if git.get("diff"):
            texts["uncommitted.diff"] = git["diff"]
        MlflowMirror(store).put_parent(parameters, tags, texts, finished=None)
        fetch_records(study, workspace)
        bring_up_to_date(study, store, workspace, facts["class_names"])

    def finish(number: int) -> TrialEnd:
        try:
            folder = trial_place(study, number, workspace).fetch(SMALL)
            rows = TrialFolder(folder).rows()
        except (PlaceGone, FolderError) as error:
            say(f"MLflow lacks files of trial {number}: {error}")
            return TrialEnd()
        values = {row["epoch"]: row["value"] for row in rows if row["value"] is not None}
        return trial_end(folder, rows, values, facts["class_names"])

    recorder = MlflowRecorder(store, finish, say)
    finished: bool | None = False
    try:
        yield recorder
        finished = not trials_left(study)
    except StorageLost:
        # By now another driver may write.
        finished = None
        raise
    finally:
        recorder.close(finished)
        if recorder.missing:
            words = f"contourney reconcile {shlex.quote(settings.name)} --workspace {shlex.quote(str(workspace.root))}"
            say(f"MLflow lacks {recorder.missing} records of this run; once it answers again, write them with: {words}")


@contextmanager
def answering(workspace: Workspace) -> Iterator[None]:
    """Raises TrackingError for whatever MLflow says instead of taking what it is given."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        reason = masked((str(error).strip() or type(error).__name__).splitlines()[0], workspace.tracking)[:200]
        raise TrackingError(f"MLflow at {shown(workspace.tracking)} does not take records: {reason}") from error


def description(
    facts: Mapping[str, Any], settings: Mapping[str, Any] | None
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """What the parent run has of a study with these resolved settings: parameters, tags, and texts by file name."""
    texts = {"facts.json": json.dumps(facts, indent=1)}
    parameters = {}
    if settings is not None:
        texts["study.json"] = json.dumps(settings, indent=1)
        parameters = {key: str(value) for key, value in flatten(settings).items() if not key.startswith(CHANGING)}
    tags = {f"contourney.fingerprint.{split}": value for split, value in facts["fingerprints"].items()}
    return parameters, tags | {"contourney.metric": facts["metric"]}, texts


def bring_up_to_date(
    study: optuna.Study, store: MlflowStore, workspace: Workspace, class_names: list[str], *, thorough: bool = False
) -> Changes:
    """Write to MLflow what it lacks of the trials, from Optuna and the trial folders.

    A trial that has ended in MLflow as in Optuna is looked at only where `thorough`.
    """
    mirror, changes = MlflowMirror(store), Changes()
    for trial in study.get_trials(deepcopy=False):
        told = store.states.get(trial.number) == (trial.state.name, MLFLOW_STATUS[trial.state])
        # A trial that waits is compared whatever MLflow says of it: it may have gone on, and died, unseen there.
        skipped = trial.state.is_finished() and told and not thorough
        # Without a reason it waits for its first start.
        never_started = trial.state is TrialState.WAITING and trial.user_attrs.get("reason") is None
        if not (skipped or never_started):
            folder = workspace.trial_folder(study.study_name, trial.number)
            changes.add(mirror.put_trial(wanted_run(trial, folder, class_names)))
    return changes


def wanted_run(trial: FrozenTrial, folder: Path, class_names: list[str]) -> WantedRun:
    """What MLflow must have of a trial: Optuna's values, and all else from the rows of its folder."""
    started, ended = trial.datetime_start, trial.datetime_complete or trial.datetime_start
    started_s = started.timestamp() if started else 0.0
    values = {epoch: value for epoch, value in trial.intermediate_values.items() if math.isfinite(value)}
    written = {row["epoch"]: row for row in TrialFolder(folder).rows()} if folder.is_dir() else {}
    rows = [
        # A first write wins: where a folder has another value, it is of an epoch that was trained again.
        {**row, "metrics": {**row["metrics"], VALUE: values.get(epoch)}}
        for epoch, row in sorted(written.items())
        if epoch in trial.intermediate_values or row["value"] is None
    ]
    # Without its folder a trial has what Optuna knows.
    rows += [
        {"epoch": epoch, "metrics": {VALUE: value}, "ended_s": started_s, "value": value, "arrays": {}}
        for epoch, value in values.items()
        if epoch not in written
    ]
    reason = trial.user_attrs.get("reason")
    return WantedRun(
        number=trial.number,
        values=trial.params,
        rows=rows,
        state=trial.state,
        reason=Reason(reason) if reason else None,
        started_s=started_s,
        ended_s=ended.timestamp() if ended else started_s,
        end=trial_end(folder, rows, values, class_names) if trial.state.is_finished() else TrialEnd(),
    )


def trial_end(
    folder: Path, rows: Sequence[Mapping[str, Any]], values: Mapping[int, float], class_names: list[str]
) -> TrialEnd:
    """An ended trial's best value and its files: IoU per class by epoch, the settings it really used, its latency."""
    if not values:
        return TrialEnd()
    best_epoch = min(values, key=lambda epoch: (-values[epoch], epoch))
    ended_s = next(row["ended_s"] for row in rows if row["epoch"] == best_epoch)
    ious = {str(row["epoch"]): _named(row["arrays"].get("val/iou", []), class_names) for row in rows}
    files: dict[str, Any] = (
        {"iou_per_class.json": {"best_epoch": best_epoch, "epochs": ious}} if any(ious.values()) else {}
    )
    for name in ("applied.json", "latency.json"):
        if (folder / name).is_file():
            files[name] = json.loads((folder / name).read_text(encoding="utf-8"))
    return TrialEnd((values[best_epoch], best_epoch, ended_s), files)


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
