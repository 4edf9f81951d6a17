"""The report command on studies written as a driver writes them."""

import shutil
from pathlib import Path

import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

from dashboards.browser import BROWSERS
from studies.cli.app import app
from tests.dashboards.studies import Builder


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in ("first", "second"):
        builder = Builder(tmp_path, name=name)
        builder.study.set_user_attr("metric", "validation mIoU")
        builder.ask()
        trial = builder.study.ask()
        builder.study.tell(trial, 0.5, state=TrialState.COMPLETE)
    return tmp_path


def test_one_study_is_reported_in_its_folder_and_several_in_the_workspace(workspace: Path) -> None:
    run = CliRunner()
    one = run.invoke(app, ["report", "first", "--workspace", str(workspace)], catch_exceptions=False)
    assert (one.exit_code, Path(one.stdout.strip()).name) == (0, "report.html")
    both = run.invoke(
        app, ["report", "first", "second", "first", "--workspace", str(workspace)], catch_exceptions=False
    )
    assert (both.exit_code, both.stdout.strip()) == (0, str(workspace / "comparison.html"))
    assert "<title>first, second · contourney</title>" in (workspace / "comparison.html").read_text()


def test_an_unknown_study_leaves_no_page(workspace: Path) -> None:
    with pytest.raises(ValueError, match="no study 'third'"):
        CliRunner().invoke(app, ["report", "first", "third", "--workspace", str(workspace)], catch_exceptions=False)
    assert not list(workspace.rglob("*.html"))


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no browser: apt-get install chromium")
def test_figures_are_pdf_files_of_one_page_each(workspace: Path, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    arguments = ["report", "first", "--figures", str(folder), "--format", "pdf"]
    done = CliRunner().invoke(app, [*arguments, "--workspace", str(workspace)], catch_exceptions=False)
    found = sorted(path.name for path in folder.iterdir())
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, f"{len(found)} figures in {folder}")
    assert "history.pdf" in found and all(name.endswith(".pdf") for name in found)
    for name in found:
        content = (folder / name).read_bytes()
        assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
        # One page, as large as the figure.
        assert content.count(b"/Type /Page\n") == 1
