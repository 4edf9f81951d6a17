"""What must hold of a promotion: one opening of the test split, figures that follow from its matrix, a champion."""

import json
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from benchmarks.check_weights import mean_iou
from benchmarks.command import contourney
from benchmarks.expect import expect, expect_that
from benchmarks.records import Records

LEAST_DIGITS = 1e-12


def check_promotion(records: Records) -> dict[str, Any]:
    """The promoted trial is the best, its figures follow from its confusion matrix, MLflow has run and champion.

    Returns the record of the promotion.
    """
    record: dict[str, Any] = dict(records.attributes["promotion"])
    expect("promoted trial", record["trial"], records.best.number)
    expect("opening of the test split", record["opening"], 1)
    for split in ("validation", "test"):
        figures = record[split]
        came = mean_iou(figures["confusion"])
        expect_that(abs(came - figures["miou"]) < LEAST_DIGITS, f"{split} mIoU {figures['miou']} of its matrix", came)
    expect_that(
        abs(record["validation"]["miou"] - float(records.best.value or 0)) < LEAST_DIGITS,
        f"the recorded validation mIoU {records.best.value} before the opening",
        record["validation"]["miou"],
    )
    client = MlflowClient(f"sqlite:///{records.workspace / 'mlflow.db'}")
    run = client.get_run(record["mlflow_run_id"])
    expect("test/miou in MLflow", run.data.metrics["test/miou"], record["test"]["miou"])
    champion = client.get_model_version_by_alias(records.name, "champion")
    expect("run of the champion", champion.run_id, record["mlflow_run_id"])
    expect("figures of the promotion as an artifact", _artifact(run)["test"], record["test"])
    return record


def check_second_opening_refused(workspace: Path, name: str) -> str:
    """A second promotion without a reason is refused, with what to do; returns its message."""
    done = contourney("promote", name, "--workspace", str(workspace)).must_exit(2)
    expect_that("--again" in done.output, "a refusal that names --again", done.output)
    return done.output.strip()


def _artifact(run: Any) -> dict[str, Any]:
    path = Path(run.info.artifact_uri.removeprefix("file://")) / "promotion.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
