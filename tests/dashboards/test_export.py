"""Figures as files of their own, drawn by a real browser."""

import os
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dashboards.browser import BROWSERS
from dashboards.export import write_figures
from dashboards.figures.history import draw_history
from dashboards.figures.pictures import draw_pictures
from dashboards.frame import missing
from dashboards.panel import ReportError
from search.records.study import StudyRecord


@pytest.fixture
def browser() -> None:
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip("no browser: apt-get install chromium")


@pytest.mark.slow
@pytest.mark.usefixtures("browser")
def test_svg_and_pdf_hold_the_figure_with_its_words(full_study: StudyRecord, tmp_path: Path) -> None:
    figures = {
        "history": draw_history(full_study),
        "slice-<a>&": draw_history(full_study),
        "pictures": draw_pictures(full_study),
        "nothing": missing("Nothing", "", "no trials"),
    }
    paths = write_figures(figures, tmp_path / "new" / "svg", "svg")
    assert [path.name for path in paths] == ["history.svg", "slice-<a>&.svg", "pictures.svg"]
    root = ElementTree.parse(paths[0]).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    text = " ".join("".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "History" in text and "9 complete, 4 pruned" in text and "validation split (32 images)" in text
    assert "data:image/png" in paths[2].read_text()
    (pdf,) = write_figures({"history": figures["history"]}, tmp_path, "pdf")
    assert pdf.read_bytes().startswith(b"%PDF-")
    if shutil.which("pdftotext"):
        text = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout
        assert "9 complete, 4 pruned" in text
        # One page: the text of a second would follow a form feed.
        assert text.count("\f") == 1


def test_without_a_browser_nothing_is_written(
    full_study: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReportError, match=r"none is here: expected one of chromium, .* leave --figures out"):
        write_figures({"history": draw_history(full_study)}, tmp_path / "figures", "svg")
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [("#!/bin/sh\nexit 3\n", "chromium ended before it drew anything"), ("no program", "chromium does not start: ")],
)
def test_a_browser_that_fails_is_named(
    full_study: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    fake = tmp_path / "bin" / "chromium"
    fake.parent.mkdir()
    fake.write_text(content)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(ReportError, match=said):
        write_figures({"history": draw_history(full_study)}, tmp_path / "figures", "svg")
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("browser")
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"cannot write figures to .*; choose another folder"):
        write_figures({}, tmp_path / "file" / "figures", "svg")
