"""Every way a trial can end, through Ray's real workers: a study file whose five trials are scripted."""

import json
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState

from search.storage import open_storage
from studies.stored import open_study
from studies.workspace import Workspace
from tests.studies.running import contourney, ready
from tests.studies.scripted import BUG, FINE, KILLED_ALWAYS, KILLED_ONCE, NAN, OUT_OF_MEMORY

pytestmark = pytest.mark.slow

EPOCHS = 4
SECRET = "hunter2-of-the-tracking-server"
FILE = f"""
name: ends
trial:
  entry: tests.studies.scripted:Scripted
  epochs: {EPOCHS}
  data: {{format: terrain, terrain: {{images: 12}}}}
space:
  model.width: {{choices: [{FINE}, {BUG}, {NAN}, {OUT_OF_MEMORY}, {KILLED_ONCE}, {KILLED_ALWAYS}]}}
search:
  sampler: {{name: grid}}
  pruner: {{name: none}}
  trials: 20
resources: {{workers: 2, retries: 1}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("ends")
    (root / "study.yaml").write_text(FILE)
    done = contourney(
        "launch", str(root / "study.yaml"), "--workspace", str(ready(root / "w")), MLFLOW_TRACKING_PASSWORD=SECRET
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Workspace.open(root / "w")


@pytest.fixture(scope="module")
def trials(place: Workspace) -> dict[int, FrozenTrial]:
    study = open_study("ends", place)
    return {trial.params["model.width"]: trial for trial in study.trials}


def test_the_grid_bounds_the_budget(trials: dict[int, FrozenTrial], place: Workspace) -> None:
    assert sorted(trials) == [FINE, BUG, NAN, OUT_OF_MEMORY, KILLED_ONCE, KILLED_ALWAYS]
    assert open_study("ends", place).user_attrs["study"]["search"]["trials"] == 6


@pytest.mark.parametrize(
    ("script", "state", "reason", "epochs"),
    [
        (FINE, TrialState.COMPLETE, "finished", 4),
        (BUG, TrialState.FAIL, "error", 1),
        (NAN, TrialState.PRUNED, "diverged", 2),
        (OUT_OF_MEMORY, TrialState.PRUNED, "out_of_memory", 1),
        (KILLED_ONCE, TrialState.COMPLETE, "finished", 4),
        (KILLED_ALWAYS, TrialState.FAIL, "error", 1),
    ],
)
def test_each_end_has_its_state_reason_and_epochs(
    trials: dict[int, FrozenTrial], script: int, state: TrialState, reason: str, epochs: int
) -> None:
    trial = trials[script]
    assert (trial.state, trial.user_attrs["reason"]) == (state, reason)
    assert trial.intermediate_values == {epoch: epoch / (epoch + 2) for epoch in range(1, epochs + 1)}
    assert trial.user_attrs["trainable_parameters"] == 7


def test_values_and_best_epochs(trials: dict[int, FrozenTrial]) -> None:
    assert trials[FINE].value == 4 / 6
    assert trials[FINE].user_attrs["best_epoch"] == 4
    assert trials[NAN].value == 2 / 4
    assert trials[BUG].value is None


def test_tracebacks_and_deaths_are_kept_with_the_trial(trials: dict[int, FrozenTrial]) -> None:
    assert "KeyError: 'a bug in user code'" in trials[BUG].user_attrs["error"]
    assert "worker process died" in trials[KILLED_ALWAYS].user_attrs["error"]


def test_violated_constraints_are_set_where_the_region_does_not_work(trials: dict[int, FrozenTrial]) -> None:
    constrained = {
        script for script, trial in trials.items() if any(key.startswith("constraints:") for key in trial.system_attrs)
    }
    assert constrained == {NAN, OUT_OF_MEMORY}


def test_mlflow_tells_the_same(trials: dict[int, FrozenTrial], place: Workspace) -> None:
    client = MlflowClient(place.tracking)
    experiment = client.get_experiment_by_name("ends")
    assert experiment is not None
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    parents = [run for run in runs.values() if run.data.tags.get("contourney.study") == "ends"]
    assert len(parents) == 1
    assert parents[0].info.status == "FINISHED"
    assert len(runs) == len(trials) + 1
    status = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}
    for trial in trials.values():
        run = runs[trial.user_attrs["mlflow_run_id"]]
        assert run.info.status == status[trial.state]
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert run.data.tags["contourney.trial"] == str(trial.number)
        assert run.data.tags["contourney.state"] == trial.state.name
        assert run.data.tags["contourney.reason"] == trial.user_attrs["reason"]
        assert run.data.params == {"model.width": str(trial.params["model.width"])}
        history = client.get_metric_history(run.info.run_id, "val/miou")
        assert sorted((point.step, point.value) for point in history) == sorted(trial.intermediate_values.items())
        best = max(trial.intermediate_values.values())
        assert run.data.metrics["best/val_miou"] == best


def test_workers_get_no_credentials(trials: dict[int, FrozenTrial], place: Workspace) -> None:
    seen = json.loads((place.trial_folder("ends", trials[FINE].number) / "environment.json").read_text())
    assert "PATH" in seen
    assert not [name for name, value in seen.items() if SECRET in value or name.startswith("MLFLOW_TRACKING")]
    everything = b"".join(path.read_bytes() for path in place.root.rglob("*") if path.is_file())
    assert SECRET.encode() not in everything


def test_status_shows_the_failures(place: Workspace) -> None:
    done = contourney("status", "ends", "--workspace", str(place.root), "--json")
    found = json.loads(done.stdout)
    assert found["counts"] == {"COMPLETE": 2, "PRUNED": 2, "FAIL": 2, "RUNNING": 0, "WAITING": 0}
    assert any("a bug in user code" in error for error in found["errors"].values())


def test_a_study_whose_trials_all_fail_stops_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "bug.yaml").write_text(
        FILE.replace("name: ends", "name: bug")
        .replace("sampler: {name: grid}", "sampler: {name: random}")
        .replace(f"[{FINE}, {BUG}, {NAN}, {OUT_OF_MEMORY}, {KILLED_ONCE}, {KILLED_ALWAYS}]", f"[{BUG}]")
    )
    done = contourney("launch", str(tmp_path / "bug.yaml"), "--workspace", str(ready(tmp_path / "w")))
    assert done.returncode == 1
    assert "KeyError: 'a bug in user code'" in done.stdout
    study = optuna.load_study(study_name="bug", storage=open_storage(str(tmp_path / "w" / "optuna.journal")))
    assert 5 <= len(study.trials) <= 8
