"""A study whose driver was killed, and trials whose files lie elsewhere, as the pages have them."""

import json
import shutil
from html import unescape
from pathlib import Path

import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

from studies.cli.app import app
from studies.workspace import Workspace
from tests.dashboards.live_pages import Served, serving
from tests.dashboards.studies import Builder, write_pictures
from tests.search.test_lease_record import HOLD
from tests.search.test_storage import holding
from tests.studies.prepared import NAME, settings


def revision(served: Served, name: str) -> str:
    return str(json.loads(served.get(served.study(name, path="/changes")).text)["revision"])


@pytest.mark.slow
def test_a_killed_driver_leaves_an_interrupted_study_on_the_page_and_in_status(tmp_path: Path) -> None:
    builder = Builder(tmp_path, NAME, settings=settings(20).resolved())
    builder.trial(2, TrialState.COMPLETE, "finished")
    builder.trial([0.2], None, None)
    with serving(tmp_path) as served:
        with holding(HOLD, builder.storage, NAME) as pid:
            running = revision(served, NAME)
            assert f"running: process {pid} on " in served.get("/").text
            assert f"running: process {pid} on " in served.get(served.study(NAME)).text
            assert revision(served, NAME) == running
        # Nothing was written since.
        assert revision(served, NAME) != running
        pages = [unescape(served.get(path).text) for path in ("/", served.study(NAME))]
    status = CliRunner().invoke(app, ["status", NAME, "--workspace", str(tmp_path)], catch_exceptions=False).stdout
    words = next(line for line in status.splitlines() if line.startswith("interrupted (last held by process "))
    assert f"process {pid} on " in words and words.endswith(f"; contourney resume {NAME} goes on")
    assert all(words in page for page in pages)
    listed = CliRunner().invoke(app, ["list", "--workspace", str(tmp_path), "--json"], catch_exceptions=False).stdout
    assert [one["state"] for one in json.loads(listed)] == ["interrupted"]


def test_the_files_of_a_trial_that_is_kept_elsewhere_are_fetched_for_its_page(tmp_path: Path) -> None:
    place = Workspace.open(tmp_path / "workspace")
    place.root.mkdir()
    builder = Builder(place.root, "s")
    trial = builder.ask()
    folder = place.trial_folder("s", 0)
    trial.set_user_attr("folder", str(folder.relative_to(place.root)))
    builder.study.set_user_attr("storage", (tmp_path / "bucket").as_uri())
    trial.report(0.5, 1)
    builder.study.tell(trial, 0.5)
    other = builder.trial(2, TrialState.COMPLETE, "finished")
    source = builder.folder(other)
    write_pictures(source)
    (source / "worker.log").write_text("a line of the log\n")
    (source / "best.pt").write_text("weights stay where they are")
    kept = tmp_path / "bucket" / place.study_folder("s").name / "trials" / folder.name
    kept.parent.mkdir(parents=True)
    with serving(place.root) as served:
        page = unescape(served.get(served.study("s", path="/trial/0")).text)
        assert f"kept at {kept.as_uri()}, and none is there." in page
        shutil.move(source, kept)
        elsewhere = unescape(served.get(served.study("s")).text)
        assert "those of 0 of 2 trials are here" in elsewhere and "contourney report s fetches all" in elsewhere
    with serving(place.root) as served:
        page = served.get(served.study("s", path="/trial/0")).text
        assert "a line of the log" in page and "and none is there" not in page
        assert sorted(path.name for path in folder.iterdir()) == ["epochs.jsonl", "pictures.npz", "worker.log"]
        pictures = json.loads(served.get(served.study("s", path="/trial/0/figure/pictures")).text)
        assert pictures["missing"] is None
        assert "those of 1 of 2 trials are here" in served.get(served.study("s")).text


def test_a_place_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    builder = Builder(tmp_path, "s")
    builder.trial(2, TrialState.COMPLETE, "finished")
    builder.study.set_user_attr("storage", "nowhere://bucket")
    with serving(tmp_path) as served:
        page = unescape(served.get(served.study("s", path="/trial/0")).text)
    assert "are kept at nowhere://bucket/" in page and "could not be fetched: " in page
    # What is here is shown all the same.
    assert "host:1" in page


def test_a_trial_without_a_log_says_where_its_worker_printed(tmp_path: Path) -> None:
    builder = Builder(tmp_path, "s")
    builder.trial(2, TrialState.COMPLETE, "finished", mlflow_run_id="abc")
    builder.ask()
    with serving(tmp_path, tracking="sqlite:///mlflow.db") as served:
        page = unescape(served.get(served.study("s", path="/trial/0")).text)
        assert "node and process of this trial: host:1." in page
        assert "a link needs a tracking server" in page
        assert "no epoch says which worker trained it" in unescape(served.get(served.study("s", path="/trial/1")).text)
    with serving(tmp_path, tracking="http://tracking:5000") as served:
        assert 'href="http://tracking:5000/#/runs/abc"' in served.get(served.study("s", path="/trial/0")).text
