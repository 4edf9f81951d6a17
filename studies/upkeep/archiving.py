"""Writing a study into one file: Optuna's content, trial folders, reports, and the ledger of its test splits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from search.copying import read_content
from search.lease import open_lease
from search.study_json import content_data
from studies.files.study_settings import CONFIRM
from studies.promotion.vault import TestVault, fingerprints, subjects_of
from studies.running.places import kept_files, remote_study, trial_place
from studies.stored import StudyError, confirm_study, is_used, open_study
from studies.upkeep.archive_file import CONFIRMED, FOLDERS, LEDGER_FILE, SEARCH, ArchiveWriter, writing
from studies.upkeep.retention import STATE, WEIGHTS, ended_trials
from studies.workspace import Workspace

# Ray's own state of a run that is under way.
RAY = "ray"


@dataclass(frozen=True)
class Archived:
    """An archive that was written: where, with so many trials, files and bytes."""

    path: Path
    trials: int
    files: int
    bytes: int


def default_output(name: str, workspace: Workspace) -> Path:
    """The file in the current folder that a study is archived to."""
    return Path(f"{workspace.study_folder(name).name}.zip")


def archive(name: str, workspace: Workspace, output: Path, *, weights: bool = True) -> Archived:
    """Write study `name` with its confirmatory runs into a new file, there when it is whole.

    Without `weights` those of ended trials are left out, and what they were promoted by with them. Raises ValueError
    where a process runs the study, or the file cannot be written.
    """
    # Before the leases, which would make files for a study that is not there.
    _studies(name, workspace)
    with open_lease(workspace.storage, name), open_lease(workspace.storage, name + CONFIRM):
        studies = _studies(name, workspace)
        with writing(output, name, weights=weights) as file:
            files = 0
            for study in studies:
                document, folder = _parts(study)
                file.add_json(document, content_data(read_content(study)))
                files += _add_files(file, study, folder, workspace, weights=weights)
            file.add_json(LEDGER_FILE, _ledgers(studies, workspace))
    trials = sum(len(study.get_trials(deepcopy=False)) for study in studies)
    return Archived(output, trials, files, output.stat().st_size)


def _studies(name: str, workspace: Workspace) -> list[optuna.Study]:
    confirm = confirm_study(name, workspace)
    if confirm is not None and not is_used(name, workspace):
        return [confirm]
    search = open_study(name, workspace)
    if not {"study", "facts", "metric"} <= set(search.user_attrs):
        raise StudyError(f"study {name!r} was not launched by contourney; archive it with Optuna's own tools")
    return [search] if confirm is None else [search, confirm]


def _parts(study: optuna.Study) -> tuple[str, str]:
    return (CONFIRMED, FOLDERS[1]) if study.study_name.endswith(CONFIRM) else (SEARCH, FOLDERS[0])


def _add_files(file: ArchiveWriter, study: optuna.Study, folder: str, workspace: Workspace, *, weights: bool) -> int:
    ended = {workspace.trial_folder(study.study_name, trial.number).name for trial in ended_trials(study)}
    left_out = {STATE} if weights else {STATE, WEIGHTS}

    def is_kept(trial: str, name: str) -> bool:
        return trial not in ended or name not in left_out

    if remote_study(study, workspace) is not None:
        for number, found in kept_files(study, workspace).items():
            place = trial_place(study, number, workspace)
            place.fetch_found({name: one for name, one in found.items() if is_kept(place.folder.name, name)})
    root, count = workspace.study_folder(study.study_name), 0
    for path in _files(root):
        parts = path.relative_to(root).parts
        if parts[0] != RAY and (parts[0] != "trials" or len(parts) != 3 or is_kept(parts[1], parts[2])):
            with path.open("rb") as source:
                file.add("/".join((folder, *parts)), source)
            count += 1
    return count


def _files(root: Path) -> Iterator[Path]:
    """Plain files below a folder, none of them hidden or below a hidden folder."""
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if not hidden and path.is_file() and not path.is_symlink():
            yield path


def _ledgers(studies: Sequence[optuna.Study], workspace: Workspace) -> dict[str, list[dict[str, Any]]]:
    """The whole ledgers of the test splits that these studies opened: a part of a chain cannot be verified."""
    names = {study.study_name for study in studies}
    found = {one: TestVault(workspace.storage, one).entries() for one in fingerprints(workspace.storage)}
    return {
        fingerprint: entries
        for fingerprint, entries in found.items()
        if any(
            subject["study"] in names
            for entry in entries
            if entry["kind"] == "opening"
            for subject in subjects_of(entry)
        )
    }
