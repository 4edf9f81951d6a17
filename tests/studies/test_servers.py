"""A study against real servers through the real command line: PostgreSQL for Optuna, MLflow over HTTP."""

import json
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from search.storage import open_storage
from studies.stored import open_study
from studies.workspace import Workspace
from tests.search.tabulated import open_bridge, run_side_by_side
from tests.servers import PASSWORD, Postgres, Served, descendants, mlflow_server, optuna_dashboard, seen_by
from tests.studies.running import ROOT, command, contourney, environment

pytestmark = pytest.mark.slow

TRIALS, EPOCHS = 8, 4
FILE = f"""
name: NAME
trial:
  entry: tests.studies.scripted:Graded
  epochs: {EPOCHS}
  data: {{format: terrain, terrain: {{images: 12}}}}
space:
  optimizer.lr: {{low: 0.0001, high: 0.01, log: true}}
search: {{sampler: {{name: random}}, pruner: {{name: none}}, trials: {TRIALS}}}
resources: {{workers: 2}}
"""


def launch(root: Path, name: str, **variables: str) -> subprocess.Popen[str]:
    (root / "study.yaml").write_text(FILE.replace("NAME", name))
    arguments = command("launch", str(root / "study.yaml"), "--workspace", str(root / "w"))
    return subprocess.Popen(
        arguments, cwd=ROOT, env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def curves_in_mlflow(study: str, uri: str) -> dict[int, list[tuple[int, float]]]:
    """(epoch, mIoU) by trial, as often as MLflow has them."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    curves = {}
    for run in client.search_runs([experiment.experiment_id], "tags.`contourney.trial` != ''"):
        points = client.get_metric_history(run.info.run_id, "val/miou")
        assert int(run.data.tags["contourney.trial"]) not in curves
        curves[int(run.data.tags["contourney.trial"])] = sorted((point.step, point.value) for point in points)
    return curves


def test_a_study_goes_on_while_postgresql_restarts(
    tmp_path: Path, postgres: Postgres, mlflow_server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, name = postgres.database(), "restarted"
    variables = {"OPTUNA_STORAGE": storage, "MLFLOW_TRACKING_URI": mlflow_server.url}
    with launch(tmp_path, name, **variables) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            # MLflow's database is in the same cluster: both are away for a moment.
            if line.startswith(("[2/", "[5/")):
                postgres.restart()
        assert process.wait(timeout=120) == 0, "".join(lines)
    text = "".join(lines)
    assert PASSWORD not in text
    assert "Traceback" not in text
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    place = Workspace.open(tmp_path / "w")
    study = open_study(name, place)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * TRIALS
    assert all(list(trial.intermediate_values) == list(range(1, EPOCHS + 1)) for trial in study.trials)
    assert curves_in_mlflow(name, mlflow_server.url) == {
        trial.number: sorted(trial.intermediate_values.items()) for trial in study.trials
    }


def test_ctrl_c_while_postgresql_is_away_ends_the_study_soon(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, name = postgres.database(), "left"
    with launch(tmp_path, name, OPTUNA_STORAGE=storage) as process:
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if line.startswith("[2/"):
                    postgres.stop()
                if "does not answer" in line:
                    process.send_signal(signal.SIGINT)
            # Five minutes are what the driver waits when nobody asks it to end.
            assert process.wait(timeout=120) == 1, "".join(lines)
        finally:
            postgres.start()
    text = "".join(lines)
    assert "start it, then go on with contourney resume" in text
    assert "Traceback" not in text
    monkeypatch.setenv("OPTUNA_STORAGE", storage)
    # What a driver finds that was killed: the next one takes it over (tests/search/test_databases.py).
    states = [trial.state for trial in open_study(name, Workspace.open(tmp_path / "w")).trials]
    assert states.count(TrialState.COMPLETE) >= 2
    assert TrialState.FAIL not in states


def test_an_mlflow_that_is_gone_ends_no_study_and_no_password_is_anywhere(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terminal, workspace, database, MLflow and report are searched, and what Ray's processes can see."""
    name, backend = "secret", f"sqlite:///{tmp_path}/server.db"
    server = mlflow_server(tmp_path / "server", backend)
    server.start()
    storage = postgres.database()
    tracking = server.url.replace("//", f"//someone:{quote(PASSWORD, safe='')}@")
    variables = {"OPTUNA_STORAGE": storage, "MLFLOW_TRACKING_URI": tracking, "PGPASSWORD": PASSWORD}
    lines, ray = [], {}
    try:
        with launch(tmp_path, name, **variables) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if line.startswith("["):
                    ray.update({pid: seen_by(pid) for pid in descendants(process.pid)})
                if line.startswith("[5/"):
                    server.kill()
            assert process.wait(timeout=120) == 0, "".join(lines)
        text = "".join(lines)
        words = f"contourney reconcile {name} --workspace {tmp_path / 'w'}"
        assert [line for line in lines if words in line and "MLflow lacks" in line], text
        assert "http://someone:***@127.0.0.1" in text
        assert any("ray::" in command for command, _ in ray.values())
        server.start()
        for arguments in (("reconcile", name), ("report", name)):
            done = contourney(*arguments, "--workspace", str(tmp_path / "w"), **variables)
            assert done.returncode == 0, done.stdout + done.stderr
            text += done.stdout + done.stderr
        assert "metric points added" in text
    finally:
        server.close()
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    study = open_study(name, Workspace.open(tmp_path / "w"))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * TRIALS
    assert curves_in_mlflow(name, backend) == {
        trial.number: sorted(trial.intermediate_values.items()) for trial in study.trials
    }
    places = {
        "terminal": text.encode(),
        "database": postgres.tool("pg_dump", storage.rpartition("/")[2]).stdout,
        **{str(path): path.read_bytes() for path in (tmp_path / "w").rglob("*") if path.is_file()},
        **{str(path): path.read_bytes() for path in tmp_path.glob("server/**/*") if path.is_file()},
        **{str(path): path.read_bytes() for path in tmp_path.glob("server.db*")},
        **{command[:80]: command.encode() + seen for command, seen in ray.values()},
    }
    assert b"intermediate_value" in places["database"]
    assert any(place.endswith("report.html") for place in places)
    for spelling in (PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD)):
        assert [place for place, content in places.items() if spelling.encode() in content] == []


def test_optuna_dashboard_shows_the_same_storage(tmp_path: Path, postgres: Postgres) -> None:
    storage = postgres.database()
    study = optuna.create_study(study_name="seen", storage=open_storage(storage, write=True), direction="maximize")
    run_side_by_side(open_bridge(study, trials=4))
    dashboard = optuna_dashboard(tmp_path / "dashboard", storage)
    try:
        dashboard.start()
        with urlopen(f"{dashboard.url}/api/studies", timeout=30) as answer:
            (found,) = json.load(answer)["study_summaries"]
        assert found["study_name"] == "seen"
        with urlopen(f"{dashboard.url}/api/studies/{found['study_id']}", timeout=30) as answer:
            trials = json.load(answer)["trials"]
    finally:
        dashboard.close()
    assert [(trial["number"], trial["state"]) for trial in trials] == [(number, "Complete") for number in range(4)]
    assert [trial["values"] for trial in trials] == [[trial.value] for trial in study.trials]
