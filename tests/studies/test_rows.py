"""Named rows in miniature through real Ray workers: interrupted, gone on with, more seeds, the table, the records."""

import csv
import json
import signal
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from search.lease import open_lease
from studies.files.study_settings import CONFIRM
from studies.stored import confirm_study, study_names
from studies.workspace import Workspace
from tests.studies.running import ROOT, command, contourney, environment, ready

pytestmark = pytest.mark.slow

EPOCHS = 2
FILE = f"""
name: mini
trial:
  epochs: {EPOCHS}
  seed: 5
  data: {{format: terrain, terrain: {{images: 16, seed: 1}}}}
  model: {{width: 2, depth: 2}}
rows:
  plain: {{published: {{val_miou: 0.4}}}}
  wide: {{set: {{model.width: 3}}}}
  without-background: {{set: {{metric.exclude: [background]}}}}
"""
ROWS = ("plain", "wide", "without-background")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose rows were interrupted once and gone on with by the same command."""
    root = tmp_path_factory.mktemp("rows")
    (root / "study.yaml").write_text(FILE)
    asked = ["rows", str(root / "study.yaml"), "--seeds", "2", "--workers", "1", "--workspace", str(ready(root / "w"))]
    with subprocess.Popen(
        command(*asked), cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.startswith("[1/"):
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) == 130, "".join(seen)
    assert "row plain, seed 5 complete" in "".join(seen)
    assert "the same command again" in seen[-1]
    before = trials_of(Workspace.open(root / "w"))
    assert not [trial for trial in before if trial.state is TrialState.RUNNING]
    done = contourney(*asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "contourney table mini" in done.stdout
    # What had ended was not run again.
    assert "row plain, seed 5" not in done.stdout
    return Workspace.open(root / "w")


@pytest.fixture(scope="module")
def trials(place: Workspace) -> list[FrozenTrial]:
    return trials_of(place)


def trials_of(place: Workspace) -> list[FrozenTrial]:
    study = confirm_study("mini", place)
    assert study is not None
    return study.get_trials()


def test_each_row_ran_once_with_each_seed_and_was_never_pruned(trials: list[FrozenTrial]) -> None:
    keys = [(trial.user_attrs["role"], trial.user_attrs["key"], trial.user_attrs["seed"]) for trial in trials]
    assert keys == [("row", name, seed) for seed in (5, 6) for name in ROWS]
    for trial in trials:
        assert trial.state is TrialState.COMPLETE
        assert trial.params == {}
        assert list(trial.intermediate_values) == list(range(1, EPOCHS + 1))
        assert trial.user_attrs["settings"]["seed"] == trial.user_attrs["seed"]
        assert set(trial.user_attrs["facts"]["fingerprints"]) == {"train", "validation"}
    assert [trial.user_attrs["settings"]["model"]["width"] for trial in trials] == [2, 3, 2] * 2
    metrics = [trial.user_attrs["facts"]["metric"] for trial in trials[:3]]
    assert metrics == ["validation mIoU", "validation mIoU", "validation mIoU without background"]


def test_mlflow_has_them_under_a_parent_of_their_own(trials: list[FrozenTrial], place: Workspace) -> None:
    client = MlflowClient(place.tracking)
    experiment = client.get_experiment_by_name("mini")
    assert experiment is not None
    runs: dict[str, Run] = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    (parent,) = [run for run in runs.values() if run.data.tags.get("contourney.role") == "confirm"]
    assert (parent.info.run_name, parent.info.status) == ("mini/confirm", "FINISHED")
    assert len(runs) == len(trials) + 1
    for trial in trials:
        run = runs[trial.user_attrs["mlflow_run_id"]]
        tags = run.data.tags
        assert "contourney.trial" not in tags
        assert (tags["contourney.role"], tags["contourney.key"]) == ("row", trial.user_attrs["key"])
        assert tags["contourney.seed"] == str(trial.user_attrs["seed"])
        assert tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == "FINISHED"
        assert run.data.params["model.width"] == str(trial.user_attrs["settings"]["model"]["width"])
        for name in ("val/miou", "val/loss", "train/loss", "lr"):
            history = client.get_metric_history(run.info.run_id, name)
            assert sorted(point.step for point in history) == list(range(1, EPOCHS + 1))


def test_what_mlflow_lacks_is_written_by_the_same_command(place: Workspace, trials: list[FrozenTrial]) -> None:
    client = MlflowClient(place.tracking)
    lost = trials[1].user_attrs["mlflow_run_id"]
    client.delete_run(lost)
    done = contourney("rows", "mini", "--seeds", "2", "--workspace", str(place.root))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of these runs are there already" in done.stdout
    experiment = client.get_experiment_by_name("mini")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.`contourney.confirm` = '{trials[1].number}'")
    assert [run.info.status for run in found] == ["FINISHED"]
    assert found[0].data.metrics["best/val_miou"] == trials[1].value
    client.delete_run(found[0].info.run_id)
    client.restore_run(lost)


def test_a_row_whose_data_cannot_be_had_is_refused_before_anything_runs(place: Workspace) -> None:
    wrong = ["--set", "rows.wide.set.metric.exclude=[sku]", "--set", "rows.plain.set.data.clean.pseudo_labels.file=no"]
    refused = contourney("rows", "mini", *wrong, "--name", "other", "--workspace", str(place.root))
    assert refused.returncode == 2
    assert "row plain: " in refused.stderr
    assert "row wide: trial.metric.exclude" in refused.stderr
    assert confirm_study("other", place) is None


def test_a_rerun_adds_only_what_is_missing(place: Workspace) -> None:
    done = contourney("rows", "mini", "--workspace", str(place.root))
    assert done.returncode == 0, done.stderr
    assert "all of these runs are there already" in done.stdout
    assert len(trials_of(place)) == 2 * len(ROWS)


def test_searches_do_not_see_them(place: Workspace) -> None:
    assert study_names(place) == []
    listed = contourney("list", "--workspace", str(place.root)).stdout.splitlines()
    assert len(listed) == 2
    assert listed[1].startswith("mini ")
    assert "6 row" in listed[1]
    for name in ("status", "report"):
        refused = contourney(name, "mini/confirm", "--workspace", str(place.root))
        assert refused.returncode == 2
        assert "no study 'mini/confirm'" in refused.stderr
    told = contourney("report", "mini", "--workspace", str(place.root))
    assert (told.returncode, "`contourney table mini` shows them" in told.stderr) == (2, True)
    shown = contourney("status", "mini", "--workspace", str(place.root)).stdout
    assert "mini: no search" in shown
    assert "confirmatory runs: row 6 complete; contourney table mini shows rows" in shown


def test_one_driver_at_a_time(place: Workspace) -> None:
    with open_lease(place.storage, "mini" + CONFIRM):
        refused = contourney("rows", "mini", "--workspace", str(place.root))
    assert refused.returncode == 2
    assert "is being run by process" in refused.stderr


def test_other_data_under_the_same_name_are_refused(place: Workspace) -> None:
    refused = contourney("rows", "mini", "--set", "trial.data.terrain.seed=2", "--workspace", str(place.root))
    assert refused.returncode == 2
    assert "launched with" in refused.stderr


def test_a_launch_of_rows_alone_says_what_to_do(place: Workspace) -> None:
    refused = contourney("launch", str(place.root.parent / "study.yaml"), "--workspace", str(place.root))
    assert refused.returncode == 2
    assert "contourney rows" in refused.stderr


def test_the_table_has_the_recorded_values(place: Workspace, trials: list[FrozenTrial], tmp_path: Path) -> None:
    written = tmp_path / "table.csv"
    done = contourney("table", "mini", "--format", "csv", "--output", str(written), "--workspace", str(place.root))
    assert done.returncode == 0, done.stderr
    rows = {row["row"]: row for row in csv.DictReader(written.read_text().splitlines())}
    assert list(rows) == list(ROWS)
    values = {(trial.user_attrs["key"], trial.user_attrs["seed"]): trial.value for trial in trials}
    for name in ROWS:
        first, second = values[name, 5], values[name, 6]
        assert first is not None and second is not None
        assert float(rows[name]["val_miou_mean"]) == pytest.approx((first + second) / 2, abs=1e-15)
        assert float(rows[name]["val_miou_sd"]) == pytest.approx(abs(first - second) / 2**0.5, abs=1e-15)
    assert rows["plain"]["published_val_miou"] == "0.4"
    assert rows["without-background"]["difference_mean"] == ""
    folder = place.trial_folder("mini/confirm", 0)
    spent = [json.loads(line)["device_s"] for line in (folder / "epochs.jsonl").read_text().splitlines()]
    again = [
        json.loads(line)["device_s"]
        for line in (place.trial_folder("mini/confirm", 3) / "epochs.jsonl").read_text().splitlines()
    ]
    assert float(rows["plain"]["device_s_mean"]) == pytest.approx((sum(spent) + sum(again)) / 2)
    shown = contourney("table", "mini", "--seeds", "3", "--workspace", str(place.root))
    assert "not run yet: plain with seed 7" in shown.stdout


def test_a_study_without_rows_is_told_how_to_get_them(place: Workspace) -> None:
    refused = contourney("table", "maxi", "--workspace", str(place.root))
    assert refused.returncode == 2
    assert "maxi" in refused.stderr


def test_a_row_is_promoted_once_and_the_table_shows_it(place: Workspace) -> None:
    asked = ["promote", "mini", "--row", "wide", "--seed", "6", "--workspace", str(place.root)]
    refused = contourney(*asked[:3], "wider", "--workspace", str(place.root))
    assert refused.returncode == 2
    assert "expected one of: plain, wide, without-background" in refused.stderr
    refused = contourney(*asked[:5], "99", "--workspace", str(place.root))
    assert refused.returncode == 2
    assert "no complete run with seed 99" in refused.stderr
    done = contourney(*asked, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(done.stdout)
    assert (record["row"], record["seed"], record["opening"]) == ("wide", 6, 1)
    assert record["model"] == "mini-wide"
    value = next(trial.value for trial in trials_of(place) if trial.number == record["trial"])
    assert record["validation"]["miou"] == pytest.approx(value, abs=1e-6)
    # Another row opens the same test split again.
    refused = contourney(*asked[:3], "plain", "--workspace", str(place.root))
    assert refused.returncode == 2
    assert "--again" in refused.stderr
    table = contourney("table", "mini", "--format", "csv", "--workspace", str(place.root))
    rows = {row["row"]: row for row in csv.DictReader(table.stdout.splitlines())}
    assert float(rows["wide"]["test_miou_mean"]) == record["test"]["miou"]
    assert rows["plain"]["test_miou_mean"] == ""
