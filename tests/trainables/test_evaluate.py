"""The recorded figures come out again from the checkpoint, in a new process too."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.data.dataset import prepare
from trainables.data.splits import Split
from trainables.evaluate import CheckpointError, evaluate_checkpoint
from trainables.metrics import miou_of
from trainables.settings import TrialSettings
from trainables.trial_run import TrialRun

AGAIN = """
import json, sys
from pathlib import Path
import torch
from trainables.data.dataset import prepare
from trainables.data.splits import Split
from trainables.evaluate import evaluate_checkpoint
from trainables.settings import TrialSettings

torch.set_num_threads(1)
folder, cache = map(Path, sys.argv[1:])
settings = TrialSettings.model_validate_json(torch.load(folder / "best.pt", weights_only=True)["settings"])
data = prepare(settings.data, Split.VALIDATION, cache)
evaluation = evaluate_checkpoint(folder / "best.pt", settings, data, device=torch.device("cpu"))
print(json.dumps([evaluation.miou, evaluation.loss, evaluation.ce]))
"""


@pytest.fixture(scope="module")
def settings(terrain_settings):
    return terrain_settings(
        epochs=2,
        data={"format": "terrain", "size": [48, 80], "terrain": {"images": 24}},
        loss={"terms": {"dice": {"weight": 0.5}}, "class_weights": "inverse"},
        metric={"exclude": ["background"], "ignore_target": ["sand"]},
    )


@pytest.fixture(scope="module")
def folder(settings, tmp_path_factory, terrain_cache):
    folder = tmp_path_factory.mktemp("trial")
    run = TrialRun(settings, folder, terrain_cache, threads=1, device=torch.device("cpu"))
    while run.next_row()["end"] is None:
        pass
    return folder


def best_row(folder: Path):
    rows = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    return max(rows, key=lambda row: row["value"])


@pytest.mark.slow
def test_a_new_process_gets_the_recorded_figures(folder, terrain_cache):
    arguments = [sys.executable, "-W", "error", "-c", AGAIN, str(folder), str(terrain_cache)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    metrics = best_row(folder)["metrics"]
    assert json.loads(done.stdout) == [metrics[name] for name in ("val/miou", "val/loss", "val/ce")]


def test_evaluation_is_whole(settings, folder, terrain_cache):
    data = prepare(settings.data, Split.VALIDATION, terrain_cache)
    evaluation = evaluate_checkpoint(folder / "best.pt", settings, data, device=torch.device("cpu"), pictures=(1,))
    np.testing.assert_array_equal(evaluation.per_image_counts_NKK.sum(0), evaluation.counts_KK)
    assert evaluation.per_image_counts_NKK.shape == (len(data.names), 5, 5)
    assert evaluation.miou == miou_of(evaluation.counts_KK, exclude=(0,)) == best_row(folder)["value"]
    assert evaluation.counts_KK[3].sum() == 0
    assert evaluation.pictures.names == (data.names[1],)
    np.testing.assert_array_equal(evaluation.pictures.truths[0], data.own_mask(1))


def test_averaged_weights_and_the_whole_loss_are_what_is_evaluated(tmp_path, terrain_cache, terrain_settings):
    loss = {
        "terms": {"focal": {"weight": 0.5}, "boundary": {"weight": 0.4, "warmup_epochs": 1}, "lovasz": {"weight": 1}},
        "class_weights": "by_hand",
        "weights_by_hand": {"big rock": 3},
        "ignore_target": ["background"],
    }
    settings = terrain_settings(epochs=2, loss=loss, optimizer={"lr": 3e-3, "ema": 0.8})
    run = TrialRun(settings, tmp_path, terrain_cache, threads=1, device=torch.device("cpu"))
    while run.next_row()["end"] is None:
        pass
    data = prepare(settings.data, Split.VALIDATION, terrain_cache)
    evaluation = evaluate_checkpoint(tmp_path / "best.pt", settings, data, device=torch.device("cpu"))
    metrics = best_row(tmp_path)["metrics"]
    found = [evaluation.miou, evaluation.loss, evaluation.ce]
    assert found == [metrics[name] for name in ("val/miou", "val/loss", "val/ce")]


def test_a_checkpoint_of_other_classes_is_refused(settings, folder, make_split):
    with pytest.raises(CheckpointError, match="was trained for the classes background, soil, bedrock, sand, big rock"):
        evaluate_checkpoint(folder / "best.pt", settings, make_split())


def test_weights_of_the_settings_are_not_needed(settings, folder, terrain_cache):
    data = prepare(settings.data, Split.VALIDATION, terrain_cache)
    gone = TrialSettings.model_validate(
        settings.model_dump() | {"model": {**settings.model.model_dump(), "weights": "gone.pt"}}
    )
    evaluation = evaluate_checkpoint(folder / "best.pt", gone, data, device=torch.device("cpu"))
    assert evaluation.miou == best_row(folder)["value"]
