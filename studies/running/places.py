"""Where the trials of a study are kept: the URI that the study was launched with, or the workspace."""

from collections.abc import Sequence

import optuna

from studies.files.study_settings import StudySettings
from studies.running.trial_place import DELAYS_S, FoundFile, TrialPlace, check_place, check_uri, join_uri
from studies.stored import StudyError
from studies.workspace import Workspace

# An attribute of the study, so that any machine can go on with it.
STORAGE = "storage"
# What records and reports read; weights stay where they are until they are asked for.
SMALL = (
    "epochs.jsonl",
    "applied.json",
    "latency.json",
    "pictures.npz",
    "extremes.npz",
    "validation_per_image_confusion.npz",
)


def trial_place(
    study: optuna.Study, number: int, workspace: Workspace, *, delays_s: Sequence[float] = DELAYS_S
) -> TrialPlace:
    """The files of a trial: in its folder of the workspace, with the study's URI as their place if it has one."""
    folder = workspace.trial_folder(study.study_name, number)
    return TrialPlace(folder, remote_folder(study, number, workspace), delays_s)


def kept_files(
    study: optuna.Study, workspace: Workspace, delays_s: Sequence[float] = DELAYS_S
) -> dict[int, dict[str, FoundFile]]:
    """The files of every trial of a study, by number."""
    base = _remote_trials(study, workspace)
    local = workspace.study_folder(study.study_name) / "trials"
    folders = TrialPlace(local, local.as_uri() if base is None else base, delays_s).list_folders()
    return {int(name): files for name, files in folders.items() if name.isdecimal()}


def remote_folder(study: optuna.Study, number: int, workspace: Workspace) -> str | None:
    """The URI of a trial's files, None where they lie in the workspace."""
    base = _remote_trials(study, workspace)
    return None if base is None else join_uri(base, workspace.trial_folder(study.study_name, number).name)


def with_checked_storage(settings: StudySettings) -> StudySettings:
    """The settings with `resources.storage` as it is kept; raises PlaceError where it cannot be written."""
    if settings.resources.storage is None:
        return settings
    uri = check_uri(settings.resources.storage)
    check_place(uri)
    return settings.model_copy(update={"resources": settings.resources.model_copy(update={"storage": uri})})


def keep_storage(study: optuna.Study, uri: str | None) -> None:
    """Keep the URI with a new study; raises StudyError where the study's trials lie elsewhere already."""
    if not study.get_trials(deepcopy=False):
        study.set_user_attr(STORAGE, uri)
    elif uri is not None and uri != study.user_attrs.get(STORAGE):
        raise StudyError(
            f"resources.storage: trials of study {study.study_name!r} lie at "
            f"{study.user_attrs.get(STORAGE) or 'the workspace'}, and it goes on there; leave out --storage {uri}"
        )


def fetch_records(study: optuna.Study, workspace: Workspace) -> None:
    """Bring rows, settings in force and pictures of all trials into the workspace, those that changed, if elsewhere."""
    base = _remote_trials(study, workspace)
    if base is None:
        return
    folders = TrialPlace(workspace.study_folder(study.study_name), base).list_folders()
    for trial in study.get_trials(deepcopy=False):
        place = trial_place(study, trial.number, workspace)
        found = folders.get(place.folder.name, {})
        place.fetch_found({name: found[name] for name in SMALL if name in found})


def remote_study(study: optuna.Study, workspace: Workspace) -> str | None:
    """The URI below which all trials of a study are kept, None where they lie in the workspace."""
    uri = study.user_attrs.get(STORAGE)
    return None if uri is None else join_uri(uri, workspace.study_folder(study.study_name).name)


def _remote_trials(study: optuna.Study, workspace: Workspace) -> str | None:
    base = remote_study(study, workspace)
    return None if base is None else join_uri(base, "trials")
