"""MLflow rebuilt from Optuna and the trial folders: empty, damaged, away for a while, gone for the rest."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from optuna.trial import TrialState

from search.lease import LeaseTaken, open_lease
from search.records.mlflow_mirror import Changes
from search.storage import open_storage
from studies.stored import StudyError, open_study
from studies.upkeep.reconcile import reconcile
from studies.workspace import Workspace
from tests.servers import Served, mlflow_server
from tests.studies import rayless
from tests.studies.running import contourney, ready

pytestmark = pytest.mark.slow

NAME, TRIALS, EPOCHS = "mirrored", 5, 3
FILE = f"""
name: {NAME}
trial:
  entry: tests.studies.scripted:Graded
  epochs: {EPOCHS}
  data: {{format: terrain, terrain: {{images: 12}}}}
space:
  optimizer.lr: {{low: 1e-5, high: 1e-1, log: true}}
search: {{trials: {TRIALS}, audit: 0, pruner: {{name: successive_halving, min_resource: 1}}}}
"""
OWN = ("mlflow.parentRunId", "mlflow.runName", "mlflow.user", "mlflow.source.git.commit")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("search.records.mlflow_recorder.RETRY_S", 0.5)
    monkeypatch.setattr("search.records.mlflow_recorder.END_PATIENCE_S", 1.0)
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"):
        monkeypatch.setenv(name, "0")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a search that has ended, a trial that waits, and one confirmatory run."""
    root = ready(tmp_path_factory.mktemp("ran") / "w")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        rayless.drive(root, FILE)
        place = Workspace.open(root)
        search = open_study(NAME, place, write=True)
        confirm = optuna.create_study(
            study_name=f"{NAME}/confirm", storage=open_storage(place.storage, write=True), direction="maximize"
        )
        confirm.set_user_attr("facts", search.user_attrs["facts"])
        attributes = {
            "role": "row",
            "key": "plain",
            "seed": 1,
            "settings": {"model": {"width": 2}},
            "reason": "finished",
        }
        best = search.best_trial
        confirm.add_trial(
            optuna.trial.create_trial(
                value=best.value, intermediate_values=best.intermediate_values, user_attrs=attributes
            )
        )
        shutil.copytree(place.trial_folder(NAME, best.number), place.trial_folder(f"{NAME}/confirm", 0))
        # It went on for two epochs and waits to go on.
        waiting = search.ask()
        for epoch in (1, 2):
            waiting.report(0.1 * epoch, step=epoch)
        waiting.set_user_attr("reason", "interrupted")
        search._storage.set_trial_state_values(waiting._trial_id, TrialState.WAITING)
        reconcile(NAME, place)
    return root


@pytest.fixture
def root(ran: Path, tmp_path: Path) -> Path:
    """A copy of the workspace, MLflow's database included."""
    shutil.copytree(ran, tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An MLflow server of this module's own, which a test may kill and must start again."""
    folder = tmp_path_factory.mktemp("server")
    server = mlflow_server(folder, f"sqlite:///{folder}/server.db")
    server.start()
    yield server
    server.close()


def told(uri: str, study: str = NAME) -> dict[str, Any]:
    """All that MLflow has of a study, by the name of the run, without what MLflow itself makes up."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    names = {run.info.run_id: run.info.run_name for run in runs}
    assert len(set(names.values())) == len(runs)
    return {
        run.info.run_name: {
            "status": run.info.status,
            "parent": names.get(run.data.tags.get("mlflow.parentRunId")),
            "tags": {key: value for key, value in run.data.tags.items() if key not in OWN},
            "params": run.data.params,
            "points": {
                key: sorted((p.step, p.value, p.timestamp) for p in client.get_metric_history(run.info.run_id, key))
                for key in run.data.metrics
            },
            "files": {
                entry.path: json.loads(_content(client, run.info.run_id, entry.path))
                for entry in client.list_artifacts(run.info.run_id)
                if entry.path in ("iou_per_class.json", "applied.json", "study.json", "facts.json")
            },
        }
        for run in runs
    }


def _content(client: MlflowClient, run_id: str, path: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return Path(client.download_artifacts(run_id, path, folder)).read_text()


def check_against_optuna(uri: str, study: optuna.Study) -> None:
    """Every epoch of every trial is once in MLflow with Optuna's value; states, reasons and best values agree."""
    found = told(uri, study.study_name)
    status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "WAITING": "SCHEDULED"}
    for trial in study.trials:
        run = found.pop(f"trial-{trial.number}")
        assert [point[:2] for point in run["points"]["val/miou"]] == sorted(trial.intermediate_values.items())
        assert run["status"] == status[trial.state.name]
        assert run["tags"]["contourney.state"] == trial.state.name
        assert run["tags"]["contourney.reason"] == trial.user_attrs["reason"]
        assert run["params"] == {key: str(value) for key, value in trial.params.items()}
        if trial.state.is_finished():
            best = max(trial.intermediate_values.values())
            assert [point[:2] for point in run["points"]["best/val_miou"]] == [(trial.user_attrs["best_epoch"], best)]
            assert set(run["files"]) == {"iou_per_class.json", "applied.json"}
    assert all(name in (study.study_name, f"{study.study_name}/confirm") or name.startswith("row") for name in found)


def test_an_empty_mlflow_is_rebuilt_as_it_was_and_a_second_time_changes_nothing(
    ran: Path, root: Path, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = told(Workspace.open(ran).tracking)
    assert [str(one.changes) for one in reconcile(NAME, Workspace.open(ran))] == ["", ""]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    place = Workspace.open(root)
    first = reconcile(NAME, place)
    assert [(one.name, one.trials, one.changes.created) for one in first] == [
        (NAME, TRIALS + 1, TRIALS + 2),
        (f"{NAME}/confirm", 1, 2),
    ]
    assert told(server.url) == original
    check_against_optuna(server.url, open_study(NAME, place))
    assert {trial.state.name for trial in open_study(NAME, place).trials} == {"COMPLETE", "PRUNED", "WAITING"}
    again = contourney(
        "reconcile", NAME, "--workspace", str(root), MLFLOW_TRACKING_URI=server.url
    )  # as a stranger would run it
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == [
        f"study '{NAME}', {TRIALS + 1} runs compared: nothing to change",
        f"study '{NAME}/confirm', 1 runs compared: nothing to change",
    ]


def test_damage_is_mended_and_said(root: Path) -> None:
    place = Workspace.open(root)
    original = told(place.tracking)
    client = MlflowClient(place.tracking)
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    ids = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment.experiment_id])}
    client.delete_run(ids["trial-0"])
    client.log_batch(ids["trial-1"], metrics=[Metric("val/miou", 0.99, 0, 1)])
    client.set_tag(ids["trial-2"], "contourney.reason", "error")
    client.set_terminated(ids["trial-3"], "RUNNING")
    tags = {key: value for key, value in client.get_run(ids["trial-4"]).data.tags.items() if key != "mlflow.runName"}
    double = client.create_run(experiment.experiment_id, run_name="trial-4 again", tags=tags).info.run_id
    client.create_run(experiment.experiment_id, run_name="trial-99", tags={**tags, "contourney.trial": "99"})
    client.set_tag(ids[NAME], "contourney.metric", "another")
    (search, confirm) = reconcile(NAME, place)
    rows = len(open_study(NAME, place).trials[1].intermediate_values)
    assert (search.unknown, str(confirm.changes)) == ((99,), "")
    changes = search.changes
    assert (changes.created, changes.replaced, changes.removed, changes.told) == (1, 1, 1, 3)
    assert changes.points >= rows
    assert client.get_run(double).info.lifecycle_stage == "deleted"
    found = told(place.tracking)
    found.pop("trial-99")
    assert found == original
    assert reconcile(NAME, place)[0].changes == Changes()


def test_a_lost_trial_folder_leaves_what_optuna_has(root: Path) -> None:
    place = Workspace.open(root)
    shutil.rmtree(place.trial_folder(NAME, 0))
    client = MlflowClient(place.tracking)
    (run,) = client.search_runs(["1"], "attributes.run_name = 'trial-0'")
    client.delete_run(run.info.run_id)
    reconcile(NAME, place)
    trial = open_study(NAME, place).trials[0]
    found = told(place.tracking)["trial-0"]
    assert [point[:2] for point in found["points"]["val/miou"]] == sorted(trial.intermediate_values.items())
    assert not place.trial_folder(NAME, 0).exists()
    assert reconcile(NAME, place)[0].changes == Changes()


def test_a_study_that_runs_or_is_not_there_is_refused(root: Path) -> None:
    place = Workspace.open(root)
    with open_lease(place.storage, NAME), pytest.raises(LeaseTaken, match="is being run by process"):
        reconcile(NAME, place)
    with pytest.raises(StudyError, match="no study 'other'"):
        reconcile("other", place)


def test_a_study_goes_on_while_mlflow_is_away_and_mlflow_has_all_of_it_afterwards(
    tmp_path: Path, server: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setattr("search.records.mlflow_recorder.END_PATIENCE_S", 60.0)
    ended = []

    def on_trial(self: object, number: int, reason: object, values: object) -> None:
        if reason is not None:
            ended.append(number)
            if len(ended) == 2:
                server.kill()
            elif len(ended) == 4:
                server.start()

    monkeypatch.setattr(rayless.Lines, "on_trial", on_trial)
    (tmp_path / "w").mkdir()
    rayless.drive(tmp_path / "w", FILE.replace(NAME, "away"))
    said = capsys.readouterr().out
    assert said.count("MLflow does not take records") == 1
    assert said.count("MLflow takes records again") == 1
    assert "lacks" not in said
    place = Workspace.open(tmp_path / "w")
    check_against_optuna(server.url, open_study("away", place))
    assert str(reconcile("away", place)[0].changes) == ""


def test_an_mlflow_that_is_gone_ends_no_study_and_is_rebuilt_later(
    tmp_path: Path, server: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    ended = []

    def on_trial(self: object, number: int, reason: object, values: object) -> None:
        if reason is not None:
            ended.append(number)
            if len(ended) == 3:
                server.kill()

    monkeypatch.setattr(rayless.Lines, "on_trial", on_trial)
    root = tmp_path / "w"
    root.mkdir()
    rayless.drive(root, FILE.replace(NAME, "gone"))
    lines = [line for line in capsys.readouterr().out.splitlines() if "MLflow" in line]
    assert len(lines) == 2
    assert lines[1].endswith(f"write them with: contourney reconcile gone --workspace {root}")
    assert len(ended) == TRIALS
    refused = contourney("reconcile", "gone", "--workspace", str(root), MLFLOW_TRACKING_URI=server.url)
    assert refused.returncode == 2
    assert "does not answer" in refused.stderr
    server.start()
    done = contourney("reconcile", "gone", "--workspace", str(root), MLFLOW_TRACKING_URI=server.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "metric points added" in done.stdout
    place = Workspace.open(root)
    check_against_optuna(server.url, open_study("gone", place))
    assert str(reconcile("gone", place)[0].changes) == ""
