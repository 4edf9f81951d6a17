"""Deleting a study: MLflow's runs, trial folders, reports, and last the Optuna studies, which say that there is one."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from search.lease import open_lease
from search.records.mlflow_delete import delete_experiment, experiment_runs
from search.replacing import repair
from search.storage import open_storage
from studies.files.study_settings import CONFIRM
from studies.promotion.vault import LEDGER
from studies.running.places import remote_study
from studies.running.recording import answering
from studies.running.trial_place import PlaceGone, open_uri
from studies.stored import StudyError, confirm_names, confirm_study, open_study, study_names
from studies.workspace import Workspace


@dataclass(frozen=True)
class Removal:
    """What a study holds: trials, runs outside of its search, MLflow's runs, and its places with files and bytes."""

    trials: int
    confirmatory: int
    mlflow_runs: int
    foreign_runs: int
    places: Sequence[tuple[str, int, int]]

    @property
    def lines(self) -> list[str]:
        """What is removed, in words."""
        folders = [f"{place}: {files} files, {size:,} bytes" for place, files, size in self.places]
        stay = f"; {self.foreign_runs} runs of others in its experiment stay" if self.foreign_runs else ""
        return [
            f"Optuna: {self.trials} trials, {self.confirmatory} runs of rows and repetitions",
            f"MLflow: {self.mlflow_runs} runs{stay} (`mlflow gc` frees what MLflow deleted)",
            *folders,
        ]


def removal(name: str, workspace: Workspace) -> Removal:
    """What deleting study `name` would remove; raises ValueError where it cannot be deleted."""
    studies = _studies(name, workspace)
    with answering(workspace):
        runs = experiment_runs(workspace.tracking, name)
    numbers = {study.study_name: len(study.get_trials(deepcopy=False)) for study in studies}
    places = [(str(folder), *_local(folder)) for folder in _folders(name, workspace) if folder.is_dir()]
    places += [(uri, *_remote(uri)) for uri in _uris(studies, workspace)]
    return Removal(
        trials=numbers.get(name, 0),
        confirmatory=numbers.get(name + CONFIRM, 0),
        mlflow_runs=len(runs.ours),
        foreign_runs=runs.others,
        places=places,
    )


def delete(name: str, workspace: Workspace) -> None:
    """Delete study `name` with its confirmatory runs; after a crash the same again deletes the rest.

    The ledger of the test split, the cache, registered models and what else is no study's own stay. Raises ValueError
    where a process runs it.
    """
    with open_lease(workspace.storage, name), open_lease(workspace.storage, name + CONFIRM):
        studies = _studies(name, workspace)
        uris = _uris(studies, workspace)
        with answering(workspace):
            delete_experiment(workspace.tracking, name)
        for uri in uris:
            _delete_remote(uri)
        for folder in _folders(name, workspace):
            if folder.is_dir():
                shutil.rmtree(folder)
        storage = open_storage(workspace.storage, write=True)
        # What a space change left that died meanwhile, or the study would be back.
        repair(name, storage)
        # The search last: with it the name is free.
        for study in sorted(studies, key=lambda one: one.study_name == name):
            optuna.delete_study(study_name=study.study_name, storage=storage)


def _studies(name: str, workspace: Workspace) -> list[optuna.Study]:
    if name == LEDGER:
        raise StudyError("the ledger of the test split is never deleted: it says how often the test images were seen")
    confirm = confirm_study(name, workspace) if name in confirm_names(workspace) else None
    if name not in study_names(workspace) and confirm is not None:
        return [confirm]
    search = open_study(name, workspace)
    if not {"study", "facts"} & set(search.user_attrs) and search.get_trials(deepcopy=False):
        raise StudyError(f"study {name!r} was not launched by contourney; delete it with Optuna's own tools")
    return [search] if confirm is None else [search, confirm]


def _folders(name: str, workspace: Workspace) -> list[Path]:
    return [workspace.study_folder(name), workspace.study_folder(name + CONFIRM)]


def _uris(studies: Sequence[optuna.Study], workspace: Workspace) -> list[str]:
    return [uri for study in studies if (uri := remote_study(study, workspace)) is not None]


def _local(folder: Path) -> tuple[int, int]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return len(files), sum(path.stat().st_size for path in files)


def _remote(uri: str) -> tuple[int, int]:
    from pyarrow.fs import FileSelector, FileType

    try:
        files, base = open_uri(uri)
        listed = files.get_file_info(FileSelector(base, allow_not_found=True, recursive=True))
    except OSError as error:
        raise PlaceGone(f"{uri}, where trial folders are kept, cannot be used: {error}") from error
    found = [one for one in listed if one.type is FileType.File]
    return len(found), sum(one.size for one in found)


def _delete_remote(uri: str) -> None:
    try:
        files, base = open_uri(uri)
        # An object store has no folders, only files that begin so.
        files.delete_dir_contents(base, missing_dir_ok=True)
        if files.type_name == "local":
            shutil.rmtree(base, ignore_errors=True)
    except OSError as error:
        raise PlaceGone(f"{uri}, where trial folders are kept, cannot be used: {error}") from error
