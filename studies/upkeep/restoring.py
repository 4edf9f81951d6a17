"""A study out of its archive: under its own name or another one, in any workspace and storage.

Everything is unpacked and compared first. Then, in this order: what the ledger lacks, the folders, the Optuna studies,
each of which appears whole (see search.replacing). After a crash the same command goes on; until the last step there
is no study of that name.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.lease import open_lease
from search.replacing import repair, replace
from search.storage import open_storage
from studies.files.study_settings import CONFIRM
from studies.promotion.vault import RESTORED, TestVault
from studies.stored import StudyError, confirm_study, is_used
from studies.upkeep.archive_content import archived_ledgers, archived_studies
from studies.upkeep.archive_file import FOLDERS, SEARCH, ArchiveError
from studies.upkeep.archive_reader import Archive, check_room, reading
from studies.workspace import Workspace

# In a folder that was put into its place, until its study is there.
MARK = ".restoring"


@dataclass(frozen=True)
class Restored:
    """A study that is there again, with so many trials and files, and ledger entries that were new here."""

    name: str
    trials: int
    files: int
    ledger_entries: int


def restore(path: Path, workspace: Workspace, name: str | None = None) -> Restored:
    """Restore the study of an archive, called `name` or as it was.

    Raises ValueError, with nothing half-made, for a file that is no whole archive, a name that is used, a ledger that
    tells otherwise. MLflow is left to `reconcile`.
    """
    with reading(path) as archive:
        original = archive.manifest.study
        name = original if name is None else name
        contents = archived_studies(archive, path, name, workspace)
        ledgers = archived_ledgers(archive, path)
        workspace.check_writable()
        check_room(archive, workspace.root)
        storage = open_storage(workspace.storage, write=True)
        with open_lease(workspace.storage, name), open_lease(workspace.storage, name + CONFIRM):
            for study_name in (name + CONFIRM, name):
                repair(study_name, storage)
            _check_free(name, archive, workspace)
            with _unpacked(archive, name, workspace) as folder:
                added = _adopt(ledgers, workspace)
                _put_into_place(folder, name, workspace)
            # The search last: with it the name is used.
            for study_name in sorted(contents, reverse=True):
                replace(study_name, contents[study_name], storage)
            for folder in _folders(name, workspace):
                (folder / MARK).unlink(missing_ok=True)
        trials = sum(len(content.trials) for content in contents.values())
        return Restored(name, trials, len(archive.files), added)


def _adopt(ledgers: Mapping[str, list[dict[str, Any]]], workspace: Workspace) -> int:
    """Add what the ledgers here lack, of none of them unless all agree; returns the number of entries."""
    vaults = {fingerprint: TestVault(workspace.storage, fingerprint) for fingerprint in ledgers}
    for fingerprint, entries in ledgers.items():
        vaults[fingerprint].missing(entries)
    return sum(vaults[fingerprint].adopt(entries) for fingerprint, entries in ledgers.items())


def _check_free(name: str, archive: Archive, workspace: Workspace) -> None:
    """Raise StudyError where there is a study or a folder of this name, other than what a crash left of this one."""
    confirm = confirm_study(name, workspace)
    begun = confirm is not None and confirm.user_attrs.get(RESTORED, {}).get("archive") == archive.digest
    if is_used(name, workspace) or (confirm is not None and not (begun and SEARCH in archive.manifest.members)):
        raise StudyError(
            f"study {name!r} exists in {workspace.storage_shown}; restore under another name with --name, or delete "
            "that one with `contourney delete`"
        )
    for folder in _folders(name, workspace):
        if folder.exists() and not (folder / MARK).exists():
            raise StudyError(
                f"{folder} exists, though there is no study {name!r} in {workspace.storage_shown}; move it away, or "
                "restore under another name with --name"
            )


@contextmanager
def _unpacked(archive: Archive, name: str, workspace: Workspace) -> Iterator[Path]:
    """All files of an archive, compared with its manifest, in a folder beside those of studies; deleted at the end."""
    folder = workspace.root / "studies" / f".restoring-{workspace.study_folder(name).name}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        for file in archive.files:
            archive.extract(file, folder / file)
        for part in FOLDERS:
            if (folder / part).is_dir():
                (folder / part / MARK).touch()
        yield folder
    except OSError as error:
        raise ArchiveError(f"cannot restore into {workspace.root}: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_into_place(unpacked: Path, name: str, workspace: Workspace) -> None:
    for part, folder in zip(FOLDERS, _folders(name, workspace), strict=True):
        if folder.exists():
            shutil.rmtree(folder)
        if (unpacked / part).is_dir():
            (unpacked / part).rename(folder)


def _folders(name: str, workspace: Workspace) -> list[Path]:
    return [workspace.study_folder(name), workspace.study_folder(name + CONFIRM)]
