"""What can be freed of a workspace, and freeing it: never rows, records, the ledger or promoted weights."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import optuna

from search.lease import LeaseTaken, open_lease
from studies.files.study_settings import CONFIRM
from studies.running.places import trial_place
from studies.stored import confirm_names, confirm_study, open_study, study_names
from studies.upkeep.retention import STATE, WEIGHTS, droppable
from studies.workspace import Workspace
from trainables.data.cache import builder_lock


class Kind(StrEnum):
    """What can be freed."""

    STATES = "optimizer states of ended trials"
    WEIGHTS = "weights of trials that are not kept"
    CACHE = "decoded images, made again when needed"
    ORPHANS = "folders of no study in this storage"


@dataclass(frozen=True)
class Freed:
    """So many files and bytes of a kind, at a study or path; `done` once they are gone."""

    kind: Kind
    where: str
    files: int
    bytes: int
    done: bool = False


@dataclass(frozen=True)
class Cleaning:
    """What was found (and freed), and who could not be cleaned, as lines."""

    freed: Sequence[Freed]
    busy: Sequence[str]

    @property
    def bytes(self) -> int:
        """All bytes found."""
        return sum(one.bytes for one in self.freed)


def clean(workspace: Workspace, name: str | None, *, yes: bool, orphans: bool = False) -> Cleaning:
    """Find what study `name` (all of the workspace if None) holds beyond what is kept; with `yes`, free it.

    The cache and, with `orphans`, folders of no study belong to the workspace, not to a study. A study that is being
    run is left alone, and the cache with it. Raises StudyError for a study that is not there.
    """
    freed: list[Freed] = []
    busy: list[str] = []
    for study in _studies(workspace, name):
        try:
            freed += _of_study(study, workspace, yes=yes)
        except LeaseTaken as error:
            busy.append(str(error))
    if name is None:
        freed += _of_cache(workspace, yes=yes and not busy)
        freed += _orphans(workspace, yes=yes and orphans)
    return Cleaning([one for one in freed if one.files], busy)


def _studies(workspace: Workspace, name: str | None) -> list[optuna.Study]:
    searches, confirming = study_names(workspace), confirm_names(workspace)
    if name is not None and name not in {*searches, *confirming}:
        # Raises with the names that there are.
        open_study(name, workspace)
    wanted = sorted({*searches, *confirming}) if name is None else [name]
    found = [open_study(one, workspace) for one in wanted if one in searches]
    return found + [study for one in wanted if (study := confirm_study(one, workspace)) is not None]


def _of_study(study: optuna.Study, workspace: Workspace, *, yes: bool) -> list[Freed]:
    if not yes:
        return _found(study, workspace, done=False)
    with open_lease(workspace.storage, study.study_name):
        freed = _found(study, workspace, done=True)
        for file, trials in droppable(study, workspace).items():
            for number in trials:
                trial_place(study, number, workspace).delete(file)
    return freed


def _found(study: optuna.Study, workspace: Workspace, *, done: bool) -> list[Freed]:
    kinds = {STATE: Kind.STATES, WEIGHTS: Kind.WEIGHTS}
    return [
        Freed(kinds[file], study.study_name, len(trials), sum(one.bytes for one in trials.values()), done)
        for file, trials in droppable(study, workspace).items()
    ]


def _of_cache(workspace: Workspace, *, yes: bool) -> list[Freed]:
    if not workspace.cache.is_dir():
        return []
    freed = _folder(Kind.CACHE, workspace.cache, done=yes)
    if yes:
        # No worker builds meanwhile; one that reads keeps the files that it has open.
        with builder_lock(workspace.cache):
            for path in workspace.cache.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != "build.lock":
                    path.unlink()
    return [freed]


def _orphans(workspace: Workspace, *, yes: bool) -> list[Freed]:
    names = [*study_names(workspace), *(one + CONFIRM for one in confirm_names(workspace))]
    known = {workspace.study_folder(one).name for one in names}
    studies = workspace.root / "studies"
    found = sorted(path for path in studies.iterdir() if path.name not in known) if studies.is_dir() else []
    freed = [_folder(Kind.ORPHANS, path, done=yes) for path in found]
    for path in found if yes else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return freed


def _folder(kind: Kind, path: Path, *, done: bool) -> Freed:
    files = [
        one for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file() and one.name != "build.lock"
    ]
    return Freed(kind, str(path), len(files), sum(one.lstat().st_size for one in files), done)
