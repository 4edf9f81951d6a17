"""A study on a running cluster: code travels, a node is lost, trials' files are at a URI, small trials share a GPU."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from studies.stored import open_study
from studies.workspace import Workspace
from tests.studies.clusters import RunningCluster, running_cluster, users_path, wait_until, write_users_module
from tests.studies.running import command, contourney, environment, ready

pytestmark = pytest.mark.slow

EPOCHS = 4
TRIALS = 4
FILE = f"""
name: NAME
trial:
  entry: MODULE:Users
  epochs: {EPOCHS}
  data: {{format: terrain, terrain: {{images: 12}}}}
space:
  model.width: {{choices: [1, 2, 3, 4]}}
search:
  sampler: {{name: grid}}
  pruner: {{name: none}}
  trials: {TRIALS}
resources: {{retries: 0}}
"""
SECRET = "hunter2-of-the-tracking-server"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), nodes=3, cpus=1, gpus=1) as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def output(home: Path, cluster: RunningCluster) -> str:
    """What a driver printed whose study lost a node while a trial was at its second epoch there."""
    write_users_module(home / "users", "users_losing", home / "gate")
    (home / "study.yaml").write_text(FILE.replace("NAME", "losing").replace("MODULE", "users_losing"))
    launch = command(
        "launch",
        str(home / "study.yaml"),
        *("--workspace", str(ready(home / "w"))),
        *("--storage", str(home / "the place")),
        *("--address", cluster.address),
    )
    seen = environment(PYTHONPATH=users_path(home / "users"), MLFLOW_TRACKING_PASSWORD=SECRET)
    with subprocess.Popen(
        launch, cwd=home, env=seen, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as driver:
        assert driver.stdout is not None
        # Every node is at the second epoch of a trial when one of them dies.
        wait_until(lambda: len(list((home / "the place").rglob("last.pt"))) == 3, driver)
        cluster.kill_node(0)
        (home / "gate").touch()
        told = driver.stdout.read()
        assert driver.wait(timeout=120) == 0, told
    return told


@pytest.fixture(scope="module")
def place(output: str, home: Path) -> Workspace:
    return Workspace.open(home / "w")


def wheres(home: Path, study: str) -> dict[str, list[dict[str, Any]]]:
    """Where each epoch of each trial was run, by the trial's number."""
    found = Workspace.open(home / "w").study_folder(study).name
    files = (home / "the place" / found / "trials").glob("*/where.jsonl")
    return {file.parent.name: [json.loads(line) for line in file.read_text().splitlines()] for file in files}


def test_a_lost_nodes_trial_goes_on_elsewhere_and_every_epoch_is_recorded_once(place: Workspace, home: Path) -> None:
    study = open_study("losing", place)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * TRIALS
    for trial in study.trials:
        assert trial.intermediate_values == {epoch: epoch / (epoch + 2) for epoch in range(1, EPOCHS + 1)}
        history = MlflowClient(place.tracking).get_metric_history(trial.user_attrs["mlflow_run_id"], "val/miou")
        assert sorted(point.step for point in history) == list(range(1, EPOCHS + 1))
    nodes = {number: [one["node"] for one in epochs] for number, epochs in wheres(home, "losing").items()}
    (moved,) = [number for number, one in nodes.items() if len(set(one)) == 2]
    assert [one["epoch"] for one in wheres(home, "losing")[moved]] == list(range(1, EPOCHS + 1))
    assert nodes[moved][0] != nodes[moved][1] == nodes[moved][-1]


def test_a_lost_node_floods_no_terminal_and_leaves_no_word_of_ray(output: str) -> None:
    lines = output.splitlines()
    assert len(lines) < 30, output
    assert not [line for line in lines if "raylet" in line or "Traceback" in line or "died" in line]


def test_the_code_travels_and_no_credential_does(place: Workspace, home: Path) -> None:
    for epochs in wheres(home, "losing").values():
        for one in epochs:
            assert "py_modules_files" in one["module"]
            assert "py_modules_files" in one["package"]
            assert not [name for name in one["names"] if name.startswith("MLFLOW_TRACKING")]
    everything = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert SECRET.encode() not in everything


def test_files_are_at_the_place_and_come_to_the_workspace_when_they_are_read(place: Workspace, home: Path) -> None:
    kept = home / "the place" / place.study_folder("losing").name / "trials"
    assert sorted(folder.name for folder in kept.iterdir()) == [f"{number:05d}" for number in range(TRIALS)]
    for folder in kept.iterdir():
        rows = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
        # Four trials: the weights of all are kept, the states that none needs any more of none.
        names = {path.name for path in folder.iterdir()}
        assert {"best.pt", "applied.json"} <= names and "last.pt" not in names
    done = contourney("report", "losing", "--workspace", str(place.root))
    assert done.returncode == 0, done.stderr
    local = place.trial_folder("losing", 0)
    assert (local / "epochs.jsonl").read_bytes() == (kept / "00000" / "epochs.jsonl").read_bytes()
    assert not (local / "last.pt").exists()


def test_half_a_gpu_each_two_trials_share_one(place: Workspace, home: Path, cluster: RunningCluster) -> None:
    write_users_module(home / "sharers", "users_sharing", home / "all there")
    file = FILE.replace("NAME", "sharing").replace("MODULE", "users_sharing")
    (home / "sharing.yaml").write_text(file.replace("{retries: 0}", "{cpu: 0.5, gpu: 0.5}"))
    launch = command(
        "launch",
        str(home / "sharing.yaml"),
        *("--workspace", str(home / "w")),
        *("--storage", str(home / "the place")),
        *("--address", cluster.address),
    )
    with subprocess.Popen(launch, cwd=home, env=environment(PYTHONPATH=users_path(home / "sharers"))) as driver:
        folder = home / "the place" / place.study_folder("sharing").name
        # All four run at once on the two nodes that are left.
        wait_until(lambda: len(list(folder.rglob("last.pt"))) == 4, driver)  # type: ignore[arg-type]
        (home / "all there").touch()
        assert driver.wait(timeout=120) == 0
    first = [epochs[0] for epochs in wheres(home, "sharing").values()]
    assert len({one["pid"] for one in first}) == 4
    assert sorted(Counter((one["node"], one["cuda"]) for one in first).values()) == [2, 2]
    assert {one["cuda"] for one in first} == {"0"}
