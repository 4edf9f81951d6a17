"""A sampler of the user's own that raises in the middle of a study on Ray, is mended, and the study goes on."""

import json
from pathlib import Path

import pytest
from optuna.trial import TrialState

from studies.stored import open_study
from studies.workspace import Workspace
from tests.studies.hooked import SECRET, receiving
from tests.studies.running import ROOT, contourney, ready

SAMPLER = """
from pathlib import Path
from optuna.samplers import RandomSampler

class Tables(RandomSampler):
    def before_trial(self, study, trial):
        if trial.number >= 2 and not Path(__file__).with_name("mended").exists():
            raise LookupError("row %d of the table is missing" % trial.number)
"""
STUDY = """
name: steered
trial:
  entry: tests.studies.scripted:Graded
  epochs: 3
  data: {format: terrain, terrain: {images: 12}}
space:
  optimizer.lr: {low: 1e-4, high: 1e-2, log: true}
search: {trials: 4, sampler: {name: "tables_kit:Tables"}, pruner: {name: none}}
resources: {workers: 2, gpu: 0}
hooks: {url_env: MY_HOOK}
"""


@pytest.mark.slow
def test_a_sampler_that_raises_ends_the_driver_in_order_and_the_study_goes_on_once_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "tables_kit.py").write_text(SAMPLER)
    (tmp_path / "study.yaml").write_text(STUDY)
    place = ready(tmp_path / "w")
    words = ("--workspace", str(place))
    with receiving() as receiver:
        environment = {"MY_HOOK": receiver.url, "PYTHONPATH": str(ROOT)}
        done = contourney("launch", "study.yaml", *words, cwd=tmp_path, **environment)
        assert done.returncode == 1, done.stdout + done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
        assert "search.sampler: tables_kit.Tables raised LookupError: row 2 of the table is missing" in line
        assert "Traceback" not in done.stdout + done.stderr
        study = open_study("steered", Workspace.open(place))
        assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.WAITING}
        assert study.trials[-1].state is TrialState.WAITING
        kept = json.loads(contourney("status", "steered", "--json", *words, cwd=tmp_path).stdout)["error"]
        assert "Traceback" in kept
        assert "tables_kit.py" in kept
        assert [one["reason"] for one in receiver.of("finished")] == ["error"]
        assert "row 2 of the table is missing" in receiver.of("failed")[-1]["error"]
        (tmp_path / "mended").touch()
        done = contourney("resume", "steered", *words, cwd=tmp_path, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [one["reason"] for one in receiver.of("finished")] == ["error", "budget"]
    study = open_study("steered", Workspace.open(place))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert study.user_attrs["error"] is None
    for path in place.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    environments = [json.loads(path.read_text()) for path in place.rglob("environment.json")]
    assert len(environments) == 4
    assert not any("MY_HOOK" in seen for seen in environments)
