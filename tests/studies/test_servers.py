"""A study against real servers through the real command line: PostgreSQL for Optuna, MLflow over HTTP."""

import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from studies.stored import open_study
from studies.workspace import Workspace
from tests.servers import PASSWORD, Postgres, Served
from tests.studies.running import ROOT, command, environment

pytestmark = pytest.mark.slow

TRIALS, EPOCHS = 10, 6
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
