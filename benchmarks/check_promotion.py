"""What must hold of a promotion: one opening of the test split, figures that follow from its matrix, a champion."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState

from benchmarks.check_weights import SIX_DIGITS, mean_iou
from benchmarks.command import contourney
from benchmarks.expect import expect, expect_that
from benchmarks.records import Records, read_trials

LEAST_DIGITS = 1e-12


def check_promotion(records: Records) -> tuple[dict[str, Any], str]:
    """The promoted trial has the highest mean of its replicates, figures follow from matrices, MLflow has a champion.

    Returns the record of the promotion and its model card.
    """
    record: dict[str, Any] = dict(records.attributes["promotion"])
    winner = _check_choice(records, record["choice"])
    expect("promoted trial", record["trial"], winner)
    expect("opening of the test split", record["opening"], 1)
    for split in ("validation", "test"):
        figures = record[split]
        came = mean_iou(figures["confusion"])
        expect_that(abs(came - figures["miou"]) < LEAST_DIGITS, f"{split} mIoU {figures['miou']} of its matrix", came)
    trial = records.trials[winner]
    recorded = trial.intermediate_values[trial.user_attrs["best_epoch"]]
    expect_that(
        abs(record["validation"]["miou"] - recorded) < SIX_DIGITS,
        f"the recorded validation mIoU {recorded} before the opening",
        record["validation"]["miou"],
    )
    client = MlflowClient(f"sqlite:///{records.workspace / 'mlflow.db'}")
    run = client.get_run(record["mlflow_run_id"])
    expect("test/miou in MLflow", run.data.metrics["test/miou"], record["test"]["miou"])
    champion = client.get_model_version_by_alias(records.name, "champion")
    expect("run of the champion", champion.run_id, record["mlflow_run_id"])
    expect("figures of the promotion as an artifact", _artifact(run)["test"], record["test"])
    return record, (records.folder(trial) / "model_card.md").read_text(encoding="utf-8")


def _check_choice(records: Records, choice: Mapping[str, Any]) -> int:
    """Every replicate is a run to the end under a seed of its own, its mIoU that of its matrices; returns the winner.

    What is read is the confirmatory study and its folders, not what the choice says of them.
    """
    runs = read_trials(records.workspace, f"{records.name}/confirm")
    search_seed = records.attributes["study"]["trial"].get("seed", 0)
    means: dict[int, float] = {}
    for one in choice["finalists"]:
        own = [runs[number] for number in one["runs"]]
        states, seeds = [run.state for run in own], [run.user_attrs["seed"] for run in own]
        expect(f"states of the replicates of trial {one['trial']}", states, [TrialState.COMPLETE] * choice["seeds"])
        expect_that(len({search_seed, *seeds}) == 1 + choice["seeds"], "seeds that differ, none the search's", seeds)
        means[one["trial"]] = statistics.fmean(_check_replicate(records, run) for run in own)
    expect_that(
        all(abs(one["mean"] - means[one["trial"]]) < LEAST_DIGITS for one in choice["finalists"]),
        f"means over seeds {[one['mean'] for one in choice['finalists']]}",
        means,
    )
    winner = max(means, key=means.__getitem__)
    expect("the finalist of the highest mean", choice["winner"], winner)
    return winner


def _check_replicate(records: Records, run: FrozenTrial) -> float:
    """Its validation mIoU from the matrices of its images, which is what it reported at its best epoch."""
    with np.load(records.folder(run) / "validation_per_image_confusion.npz") as kept:
        came = mean_iou(kept["counts_NKK"].sum(axis=0).tolist())
    reported = run.intermediate_values[run.user_attrs["best_epoch"]]
    expect_that(abs(came - reported) < SIX_DIGITS, f"mIoU {reported} of run {run.number} from its matrices", came)
    return came


def check_second_opening_refused(workspace: Path, name: str) -> str:
    """A second promotion without a reason is refused, with what to do; returns its message."""
    done = contourney("promote", name, "--workspace", str(workspace)).must_exit(2)
    expect_that("--again" in done.output, "a refusal that names --again", done.output)
    return done.output.strip()


def _artifact(run: Any) -> dict[str, Any]:
    path = Path(run.info.artifact_uri.removeprefix("file://")) / "promotion.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
