"""The refit that a study declares: refused settings, its length and rates, a promotion killed in the midst of it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from PIL import Image

from search.states import Reason
from search.storage import open_storage
from studies.files.problems import StudyFileError
from studies.files.rows_settings import put
from studies.files.study_file import parse_study
from studies.promotion.intervals import ImageCounts
from studies.promotion.refit import followed
from studies.promotion.replicates import Replicate, Trained, promotion_runs
from studies.promotion.shortlist import shortlist
from studies.promotion.vault import TestVault, subjects_of
from studies.running.facts import gather_facts
from studies.stored import confirm_study, open_study, save_settings
from studies.workspace import Workspace
from tests.studies.commands import caller
from tests.studies.promotion.trained import add_run, train
from tests.studies.running import ROOT, command, contourney, environment, ready
from trainables.data.dataset import split_data
from trainables.data.settings import DataSettings
from trainables.data.splits import Split
from trainables.settings import TrialSettings

EPOCHS = 5
NAME, LR = "whole", 1e-2
DATA = {"format": "terrain", "terrain": {"images": 24, "seed": 1}}
FILE = f"""
name: {NAME}
trial:
  epochs: {EPOCHS}
  batch_size: 2
  data: {json.dumps(DATA)}
  model: {{width: 2, depth: 2}}
  schedule: {{name: plateau, warmup_epochs: 3, plateau: {{patience: 0, factor: 0.7}}}}
space: {{optimizer.lr: {{low: 1e-3, high: 1e-1, log: true}}}}
search: {{trials: 1}}
promotion: {{finalists: 1, seeds: 2, weights: refit}}
"""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "promotion.seeds=0",
            "a refit has the epochs that replicates needed, and promotion.seeds is 0; expected search",
        ),
        ("trial.entry=tests.studies.scripted:Scripted", "takes its own data and rates"),
        ("trial.augment.oversample={classes: [sand], times: 2, leaky: true}", "has validation images already"),
        ("trial.refit={lr_trace: [0.1], steps_per_epoch: 3}", "is set by a promotion alone"),
        ("promotion.weights=best", "one of search, refit"),
        ("space.refit={choices: [1, 2]}", "promotion alone refits, after the search"),
    ],
)
def test_what_cannot_be_refitted_is_refused_before_the_search(override: str, message: str) -> None:
    with pytest.raises(StudyFileError, match=message):
        parse_study(FILE, "study.yaml", NAME, [override])


def replicate(seed: int, best_epochs: Sequence[int]) -> Replicate:
    counts = ImageCounts.of(np.ones((1, 2, 2), dtype=np.int64))
    runs = tuple(Trained(10 * seed + fold, epoch, 1.0) for fold, epoch in enumerate(best_epochs))
    return Replicate(seed, runs, counts)


@pytest.mark.parametrize(
    ("best_epochs", "expected"),
    [
        ([[9], [3], [5]], (2, 20)),
        ([[5], [9], [5]], (0, 0)),
        ([[7], [4]], (1, 10)),
        ([[2], [8], [6], [4]], (3, 30)),
        ([[3, 9], [5, 6]], (1, 10)),
    ],
)
def test_the_run_with_the_median_best_epoch_is_followed(
    best_epochs: list[list[int]], expected: tuple[int, int]
) -> None:
    seed, run = followed([replicate(*pair) for pair in enumerate(best_epochs)])
    assert (seed, run.run) == expected


def rows_of(folder: Path) -> list[dict[str, Any]]:
    path = folder / "epochs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def run_of(place: Workspace, role: str) -> list[FrozenTrial]:
    confirm = confirm_study(NAME, place)
    assert confirm is not None
    return [trial for trial in confirm.get_trials() if trial.user_attrs["role"] == role]


def search(place: Workspace) -> float:
    """The study with its trial and its replicates, trained here; returns the trial's value."""
    settings = parse_study(FILE, "study.yaml", NAME)
    study = optuna.create_study(study_name=NAME, storage=open_storage(place.storage, write=True), direction="maximize")
    study.set_user_attr("metric", "validation mIoU")
    study.set_user_attr("facts", gather_facts(settings, place))
    save_settings(study, settings)
    values = train(put(settings.trial, {"optimizer.lr": LR}), NAME, 0, place)
    best = max(values, key=values.__getitem__)
    study.add_trial(
        create_trial(
            value=values[best],
            params={"optimizer.lr": LR},
            distributions={"optimizer.lr": FloatDistribution(1e-3, 1e-1, log=True)},
            intermediate_values=values,
            user_attrs={"reason": Reason.FINISHED, "best_epoch": best},
        )
    )
    for number, run in enumerate(promotion_runs(shortlist(study.get_trials(), 1), settings)):
        add_run(run, number, settings, place)
    return values[best]


def promote_and_kill(place: Workspace) -> int:
    """Kill the driver, and all that it started, once the refit has an epoch; returns how many epochs that were."""
    folder = place.trial_folder(f"{NAME}/confirm", 2)
    asked = command("promote", NAME, "--workspace", str(place.root))
    with subprocess.Popen(
        asked, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        for _ in range(20_000):
            if process.poll() is not None or (folder / "epochs.jsonl").is_file():
                break
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(timeout=180) == -signal.SIGKILL
    return len(rows_of(folder))


@pytest.mark.slow
def test_the_winner_is_promoted_by_a_refit_that_was_killed_on_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = caller(capsys, monkeypatch)
    place = Workspace.open(ready(tmp_path / "w"))
    searched = search(place)
    done = promote_and_kill(place)
    assert [trial.state for trial in run_of(place, "refit")] == [TrialState.RUNNING]
    assert "promotion" not in open_study(NAME, place).user_attrs
    promoted = contourney("promote", NAME, "--workspace", str(place.root))
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    words = " ".join(promoted.stdout.split())
    assert "[1/1] refit trial 0, seed 0 complete no mIoU after epoch" in words
    (refit,) = run_of(place, "refit")
    replicates = run_of(place, "replicate")
    record = open_study(NAME, place).user_attrs["promotion"]
    best_epochs = [trial.user_attrs["best_epoch"] for trial in replicates]
    like = min(replicates, key=lambda trial: trial.user_attrs["best_epoch"])
    splits = {split: split_data(DataSettings.model_validate(DATA), split, place.cache) for split in Split}
    images = [len(splits[split].names) for split in (Split.TRAIN, Split.VALIDATION)]
    assert record["weights_from"] == "refit"
    assert record["refit"] == {
        "epochs": min(best_epochs),
        "best_epochs": best_epochs,
        "follows": {"run": like.number, "seed": like.user_attrs["seed"]},
        "images": sum(images),
    }
    assert f"a refit on the {sum(images)} images of train and validation, {min(best_epochs)} epochs" in words
    assert (record["trial"], record["run"], record["epoch"]) == (0, refit.number, min(best_epochs))
    check_run(place, refit, like, done)
    # What it was on validation is what its search trial was.
    assert record["validation"]["miou"] == pytest.approx(searched, abs=1e-6)
    assert record["gap"] == pytest.approx(record["test"]["miou"] - searched, abs=1e-6)
    (opening, _) = TestVault(place.storage, record["fingerprint"]).entries()
    (subject,) = subjects_of(opening)
    assert (subject["study"], subject["trial"]) == (f"{NAME}/confirm", refit.number)
    version = MlflowClient(place.tracking).get_model_version_by_alias(NAME, "champion")
    assert version.run_id == record["mlflow_run_id"]
    card = (place.trial_folder(f"{NAME}/confirm", refit.number) / "model_card.md").read_text()
    assert "a refit on train and validation together" in card
    assert (place.trial_folder(f"{NAME}/confirm", refit.number) / "pictures.npz").is_file()
    picture_HW = np.array(splits[Split.VALIDATION].images_NHWC[0, ..., 0])
    Image.fromarray(picture_HW).save(tmp_path / "picture.png")
    asked = ["predict", NAME, str(tmp_path / "picture.png"), "--output", str(tmp_path / "masks")]
    code, _, err = call(*asked, "--workspace", str(place.root))
    assert code == 0, err
    assert Image.open(tmp_path / "masks" / "picture.png").size == picture_HW.shape[::-1]


def check_run(place: Workspace, refit: FrozenTrial, like: FrozenTrial, done: int) -> None:
    """The refit's rows are whole, with the rates of the run it follows, and nowhere is there an mIoU of it."""
    rows, then = (rows_of(place.trial_folder(f"{NAME}/confirm", trial.number)) for trial in (refit, like))
    assert 0 < done <= len(rows) == like.user_attrs["best_epoch"]
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    rates = [row["metrics"]["lr"] for row in then[: len(rows)]]
    assert [row["metrics"]["lr"] for row in rows] == pytest.approx(rates, rel=1e-12)
    assert len(set(rates)) > 1
    assert (refit.state, refit.intermediate_values) == (TrialState.COMPLETE, {})
    assert (refit.user_attrs["unmeasured"], refit.user_attrs["best_epoch"]) == (True, None)
    assert refit.value == -rows[-1]["metrics"]["train/loss"]
    settings = TrialSettings.model_validate(refit.user_attrs["settings"])
    assert (settings.seed, settings.optimizer.lr) == (0, LR)
    client = MlflowClient(place.tracking)
    run = client.get_run(refit.user_attrs["mlflow_run_id"])
    assert set(run.data.metrics) == {"train/loss", "lr"}
    assert (run.data.tags["contourney.role"], run.info.status) == ("refit", "FINISHED")
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert sorted((point.step, point.value) for point in history) == [
        (row["epoch"], row["metrics"]["train/loss"]) for row in rows
    ]
