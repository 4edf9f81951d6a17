"""Studies as they are stored: their names, their Optuna study, their resolved settings, their budget."""

import json
import logging
import shlex
from collections.abc import Mapping
from contextlib import suppress

import optuna
from optuna.trial import TrialState

from search.lease import LeaseTaken, open_lease
from search.replacing import load_whole, repair, replaced_names, whole_studies
from search.states import COUNTED
from search.storage import open_storage, storage_file
from studies.files.study_settings import CONFIRM, StudySettings
from studies.workspace import Workspace


class StudyError(ValueError):
    """A study cannot be launched, found or changed as asked."""


def study_names(workspace: Workspace) -> list[str]:
    """Names of the searches in the workspace's storage, none where there is no storage yet."""
    return [name for name in _all_names(workspace) if not name.endswith(CONFIRM)]


def confirm_names(workspace: Workspace) -> list[str]:
    """Names of the studies that have confirmatory runs, launched or not."""
    return [name.removesuffix(CONFIRM) for name in _all_names(workspace) if name.endswith(CONFIRM)]


def _all_names(workspace: Workspace) -> list[str]:
    path = storage_file(workspace.storage)
    if path is not None and not path.is_file():
        return []
    storage = open_storage(workspace.storage)
    for name in replaced_names(storage.get_all_studies()):
        _repair(name, workspace)
    return sorted(whole_studies(storage.get_all_studies()))


def _repair(name: str, workspace: Workspace) -> None:
    """Complete or undo what a process left that died while it replaced a study; one that lives has the lease."""
    # SQLAlchemy takes long to import, for what happens rarely.
    from search.retrying import guard_storage

    log = logging.getLogger(__name__).warning
    with suppress(LeaseTaken), open_lease(workspace.storage, name) as lease:
        storage = open_storage(workspace.storage, write=True)
        guard_storage(storage, lease, log)
        if done := repair(name, storage):
            log(
                f"study {name!r} was being changed by a process that died; the change is {done}. If it gave values to "
                f"past trials, `contourney reconcile {shlex.quote(name)}` tells MLflow"
            )


def _load(name: str, workspace: Workspace, *, write: bool) -> optuna.Study:
    """The Optuna study of a name that is listed; raises StudyError for writing while another process replaces it."""
    storage = open_storage(workspace.storage, write=write)
    busy = StudyError(f"study {name!r} is being changed by another process at this moment; try again")
    if write and name in replaced_names(storage.get_all_studies()):
        raise busy
    try:
        return load_whole(name, storage)
    except KeyError as error:
        raise busy from error


def confirm_study(name: str, workspace: Workspace, *, write: bool = False) -> optuna.Study | None:
    """The Optuna study of the confirmatory runs of study `name`; None where none was ever run."""
    if name + CONFIRM not in _all_names(workspace):
        return None
    return _load(name + CONFIRM, workspace, write=write)


def open_study(name: str, workspace: Workspace, *, write: bool = False) -> optuna.Study:
    """The Optuna study `name`; raises StudyError naming the ones there are."""
    names = study_names(workspace)
    if name not in names and name + CONFIRM in _all_names(workspace):
        raise StudyError(f"{name!r} has rows and no search yet: `contourney table {name}` shows them")
    if name not in names:
        known = ", ".join(repr(other) for other in names) or "none"
        raise StudyError(f"no study {name!r} in {workspace.storage_shown}; expected one of: {known}")
    return _load(name, workspace, write=write)


def is_used(name: str, workspace: Workspace) -> bool:
    """Whether the name is taken: a study that died between its creation and its first settings leaves it free."""
    if name not in study_names(workspace):
        return False
    study = open_study(name, workspace)
    return "study" in study.user_attrs or bool(study.get_trials(deepcopy=False))


def load_settings(name: str, workspace: Workspace) -> StudySettings:
    """The resolved settings that a study was launched with and extended to."""
    attributes = open_study(name, workspace).user_attrs
    if "study" not in attributes:
        raise StudyError(
            f"study {name!r} was not launched by contourney: it has no settings; launch under another --name"
        )
    return StudySettings.model_validate_json(json.dumps(attributes["study"]))


def save_settings(study: optuna.Study, settings: StudySettings) -> None:
    """Keep the resolved settings with the study, so that any machine can go on with it."""
    study.set_user_attr("study", settings.resolved())


def counts(study: optuna.Study) -> Mapping[str, int]:
    """Number of trials by state."""
    found = {state.name: 0 for state in (*COUNTED, TrialState.RUNNING, TrialState.WAITING)}
    for trial in study.get_trials(deepcopy=False):
        found[trial.state.name] += 1
    return found


def trials_left(study: optuna.Study) -> bool:
    """Whether the budget of trials is not yet spent; a budget of hours alone never is.

    Confirmatory runs have no budget: what waits is left.
    """
    if study.study_name.endswith(CONFIRM):
        return bool(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
    total = study.user_attrs["study"]["search"]["trials"]
    return total is None or sum(trial.state in COUNTED for trial in study.get_trials(deepcopy=False)) < total
