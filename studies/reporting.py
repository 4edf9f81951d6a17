"""The report of one study or of several compared, and its figures as files."""

from collections.abc import Sequence
from pathlib import Path

from dashboards.comparison import comparison_figures, write_comparison
from dashboards.export import write_figures
from dashboards.report import study_figures, write_report
from search.records.study import StudyRecord, read_study
from studies.running.places import fetch_records
from studies.stored import open_study
from studies.workspace import Workspace


def read_studies(names: Sequence[str], workspace: Workspace) -> list[StudyRecord]:
    """The records of the studies, each named once, with the rows of trials that are kept elsewhere brought here."""
    studies = []
    for name in dict.fromkeys(names):
        fetch_records(open_study(name, workspace), workspace)
        studies.append(read_study(workspace.storage, name, workspace.root))
    return studies


def add_worst_images(studies: Sequence[StudyRecord], workspace: Workspace) -> dict[str, list[int]]:
    """Predict the worst and best images of each class of each study (see studies.worst_images); trials by study."""
    from studies.worst_images import keep_worst_images

    return {study.name: keep_worst_images(study, workspace) for study in studies}


def write_page(studies: Sequence[StudyRecord], workspace: Workspace, output: Path | None) -> Path:
    """The report of one study, by default in its folder, or the comparison of several, by default in the workspace."""
    if len(studies) == 1:
        path = output or workspace.study_folder(studies[0].name) / "report.html"
        write_report(studies[0], path)
    else:
        path = output or workspace.root / "comparison.html"
        write_comparison(studies, path)
    return path


def write_all_figures(studies: Sequence[StudyRecord], workspace: Workspace, folder: Path, kind: str) -> list[Path]:
    """One study's figures as `folder`/KEY.`kind`; of several, those that compare them there and each one's own in a
    folder of its own below.
    """
    if len(studies) == 1:
        return write_figures(study_figures(studies[0]), folder, kind)
    paths = write_figures(comparison_figures(studies), folder, kind)
    for study in studies:
        paths += write_figures(study_figures(study), folder / workspace.study_folder(study.name).name, kind)
    return paths
