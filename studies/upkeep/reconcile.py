"""Rebuilding MLflow from Optuna and the trial folders."""

from dataclasses import dataclass

import optuna

from search.lease import open_lease
from search.records.mlflow_mirror import Changes, MlflowMirror
from search.records.mlflow_store import Family, MlflowStore, check_tracking
from search.storage import open_storage
from studies.confirmatory.confirm import confirmatory_runs
from studies.files.study_settings import CONFIRM
from studies.running.places import fetch_records
from studies.running.recording import BEST, answering, bring_up_to_date, description
from studies.stored import StudyError, confirm_study, is_used, open_study, trials_left
from studies.workspace import Workspace


@dataclass(frozen=True)
class Reconciled:
    """What was compared of one study: its name, its trials that have a run, what was written, runs without a trial."""

    name: str
    trials: int
    changes: Changes
    unknown: tuple[int, ...]


def reconcile(name: str, workspace: Workspace) -> list[Reconciled]:
    """Bring MLflow to what Optuna and the trial folders say of study `name` and of its confirmatory runs.

    Every run is compared whole; what is there already is not written again. Optuna's trials are read alone. Raises
    ValueError where there is no such study, another process runs it, or MLflow does not answer.
    """
    confirmed = confirm_study(name, workspace) is not None
    if not confirmed or is_used(name, workspace):
        open_study(name, workspace)
    check_tracking(workspace.tracking, name)
    done = []
    if is_used(name, workspace):
        with open_lease(workspace.storage, name), answering(workspace):
            done.append(_reconcile(open_study(name, workspace, write=True), name, None, workspace))
    if confirmed:
        with open_lease(workspace.storage, name + CONFIRM), answering(workspace):
            study = optuna.load_study(study_name=name + CONFIRM, storage=open_storage(workspace.storage, write=True))
            done.append(_reconcile(study, name, confirmatory_runs(study, name), workspace))
    return done


def _reconcile(study: optuna.Study, name: str, family: Family | None, workspace: Workspace) -> Reconciled:
    if "facts" not in study.user_attrs:
        raise StudyError(f"study {study.study_name!r} was not launched by contourney: it has no facts to write")
    facts = study.user_attrs["facts"]
    store = MlflowStore(workspace.tracking, name, workspace.artifacts, BEST, family)
    fetch_records(study, workspace)
    changes = Changes(created=int(store.new_parent))
    changes.add(bring_up_to_date(study, store, workspace, facts["class_names"], thorough=True))
    # Last: a parent that says FINISHED has all of its runs.
    changes.add(
        MlflowMirror(store).put_parent(
            *description(facts, study.user_attrs.get("study")), finished=not trials_left(study)
        )
    )
    numbers = {trial.number for trial in study.get_trials(deepcopy=False)}
    unknown = tuple(sorted(set(store.runs) - numbers))
    return Reconciled(study.study_name, len(set(store.runs) & numbers), changes, unknown)
