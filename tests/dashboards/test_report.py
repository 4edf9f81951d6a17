import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from dashboards.panel import ReportError
from dashboards.report import render_report, write_report
from search.records.study import StudyRecord
from tests.dashboards.studies import Builder


def test_it_names_no_address_to_load_from(full_study: StudyRecord) -> None:
    page = render_report(full_study)
    without_library = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "http" not in without_library.replace('http-equiv="Content-Security-Policy"', "")
    assert "default-src 'none'" in page


def test_names_end_no_element(tmp_path: Path) -> None:
    builder = Builder(tmp_path, name="<script>alert(1)</script>")
    builder.trial([0.5], TrialState.COMPLETE, "finished")
    page = render_report(builder.read())
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_long_table_is_cut_and_says_so(builder: Builder) -> None:
    builder.trial([0.5] * 450, TrialState.COMPLETE, "finished")
    assert "50 further rows are in the study's storage." in render_report(builder.read())


def test_it_is_written_in_one_step_over_what_was_there(builder: Builder, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(builder.read(), path)
    first = path.stat().st_ino
    write_report(builder.read(), path)
    assert path.stat().st_ino != first
    assert os.listdir(path.parent) == ["report.html"]


def test_a_place_that_cannot_be_written_is_refused(builder: Builder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"cannot write the report .*; choose another place with --output"):
        write_report(builder.read(), tmp_path / "file" / "report.html")


def test_an_accepted_leak_is_said_at_the_top(full_study: StudyRecord) -> None:
    leak = {"images": 7, "of": 32, "pairs": [["a", "b", 0.99]]}
    page = render_report(replace(full_study, facts={**full_study.facts, "leak": leak}))
    words = "Warning: 7 of 32 validation images are the same or nearly the same as training images."
    assert words in page.partition("</header>")[0]
    assert "--accept-leak" in page
    assert "--accept-leak" not in render_report(full_study)
