"""Trials of two processes each, through the real command line and real Ray on CPUs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import FrozenTrial, TrialState

from studies.files.study_checks import check_trials
from studies.files.study_settings import ResourceSettings, StudySettings
from studies.running.resources import ResourceError, plan
from studies.stored import open_study
from studies.workspace import Workspace
from tests.studies.ranked import BUG, LOW, MISHAPS
from tests.studies.running import contourney, ready

EPOCHS = 3
SCRIPTS = [LOW, BUG, MISHAPS]
FILE = f"""
name: ranked
trial:
  entry: tests.studies.ranked:Ranked
  epochs: {EPOCHS}
  batch_size: 4
  data: {{format: terrain, terrain: {{images: 12}}}}
space:
  model.width: {{choices: {SCRIPTS}}}
search:
  sampler: {{name: grid}}
  pruner: {{name: threshold, lower: 0.1, n_warmup_steps: 2}}
  trials: {len(SCRIPTS)}
resources: {{gpus_per_trial: 2, gpu: 0}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("ranked")
    (root / "study.yaml").write_text(FILE)
    done = contourney("launch", str(root / "study.yaml"), "--workspace", str(ready(root / "w")))
    assert done.returncode == 0, done.stdout + done.stderr
    return Workspace.open(root / "w")


@pytest.fixture(scope="module")
def trials(place: Workspace) -> dict[int, FrozenTrial]:
    return {trial.params["model.width"]: trial for trial in open_study("ranked", place).trials}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "state", "reason", "epochs"),
    [
        (LOW, TrialState.PRUNED, "pruned", 2),
        (BUG, TrialState.FAIL, "error", 1),
        (MISHAPS, TrialState.COMPLETE, "finished", 3),
    ],
)
def test_a_trial_of_two_ranks_ends_as_one_of_one_and_has_every_epoch_once(
    trials: dict[int, FrozenTrial], place: Workspace, script: int, state: TrialState, reason: str, epochs: int
) -> None:
    trial = trials[script]
    assert (trial.state, trial.user_attrs["reason"]) == (state, reason)
    expected = {e: pytest.approx(1 / 201 if script == LOW else e / (e + 2)) for e in range(1, epochs + 1)}
    assert trial.intermediate_values == expected
    folder = place.trial_folder("ranked", trial.number)
    rows = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, epochs + 1))


@pytest.mark.slow
def test_no_process_of_a_trial_lives_when_the_next_begins(trials: dict[int, FrozenTrial], place: Workspace) -> None:
    seen = [int(path.name.partition("-")[0]) for path in (place.root / "seen").iterdir()]
    # Two processes a trial, two more after memory ran out and after the death of each rank.
    assert {script: seen.count(script) for script in SCRIPTS} == {LOW: 2, BUG: 2, MISHAPS: 8}
    assert not (place.root / "overlap").exists(), (place.root / "overlap").read_text()


@pytest.mark.slow
def test_what_went_wrong_is_kept(trials: dict[int, FrozenTrial], place: Workspace) -> None:
    assert "KeyError: 'a bug on one rank'" in trials[BUG].user_attrs["error"]
    # Half of the share of two images that each rank had; the restarts after it remembered.
    assert trials[MISHAPS].user_attrs["micro_batch"] == 1
    folder = place.trial_folder("ranked", trials[MISHAPS].number)
    applied = json.loads((folder / "applied.json").read_text())
    assert (applied["ranks"], applied["micro_batch"]) == (2, 1)


def test_the_slots_of_trials_over_several_gpus() -> None:
    def slots(nodes: list[dict[str, float]], **settings: Any) -> tuple[dict[str, float], int, int]:
        found = plan(ResourceSettings(**{"gpus_per_trial": 2, **settings}), nodes)
        return dict(found.per_trial), found.workers, found.ranks

    box = {"CPU": 16.0, "GPU": 8.0}
    assert slots([box]) == ({"cpu": 1.0, "gpu": 1.0}, 4, 2)
    assert slots([box], cpu=4) == ({"cpu": 4.0, "gpu": 1.0}, 2, 2)
    assert slots([box], workers=1) == ({"cpu": 1.0, "gpu": 1.0}, 1, 2)
    assert slots([{"CPU": 4.0, "GPU": 1.0}] * 5) == ({"cpu": 1.0, "gpu": 1.0}, 2, 2)
    assert slots([{"CPU": 2.0}], gpu=0) == ({"cpu": 1.0}, 1, 2)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({}, r"resources.gpus_per_trial: 2 processes .* with 0 GPU and 2 CPU cores; .* set resources.gpu=0 to train"),
        ({"gpu": 0, "cpu": 2}, "lower it or resources.cpu$"),
        ({"gpu": 0.5}, "resources.gpu: got 0.5 with resources.gpus_per_trial=2"),
    ],
)
def test_ranks_that_do_not_fit_are_refused(settings: dict[str, float], match: str) -> None:
    with pytest.raises(ResourceError, match=match):
        plan(ResourceSettings(**{"gpus_per_trial": 2, **settings}), [{"CPU": 2.0}])  # type: ignore[arg-type]


def test_a_batch_that_does_not_reach_all_gpus_is_refused_where_it_is_searched() -> None:
    study = StudySettings.model_validate(
        {
            "trial": {"data": {"format": "terrain"}},
            "space": {"batch_size": {"choices": [1, 4]}},
            "resources": {"gpus_per_trial": 2},
        }
    )
    (problem,) = check_trials(study)
    assert problem.path == ("space", "batch_size")
    assert "1 images are too few for the 2 processes" in problem.message


@pytest.mark.slow
def test_ranks_without_gpus_come_as_no_surprise(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there are GPUs")
    file = tmp_path / "study.yaml"
    file.write_text(FILE.replace(", gpu: 0", ""))
    refused = contourney("launch", str(file), "--workspace", str(tmp_path / "w"))
    assert refused.returncode == 2
    assert "set resources.gpu=0 to train each trial in as many processes on CPUs" in refused.stderr
    assert "Traceback" not in refused.stderr
