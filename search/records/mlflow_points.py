"""Epochs, best values and files of a trial as MLflow takes them: whoever writes them, they are the same points."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrialEnd:
    """What a run has of an ended trial: its best value (value, epoch, end of that epoch in s), JSON values by file."""

    best: tuple[float, int, float] | None = None
    files: Mapping[str, Any] = field(default_factory=dict)


def row_points(row: Mapping[str, Any]) -> list[Any]:
    """The finite metrics of an epoch as MLflow's, at the end of that epoch."""
    from mlflow.entities import Metric

    when_ms = int(row["ended_s"] * 1000)
    return [
        Metric(key, float(value), when_ms, int(row["epoch"]))
        for key, value in row["metrics"].items()
        if value is not None and math.isfinite(value)
    ]


def best_point(metric: str, end: TrialEnd) -> Any:
    """The best value of a trial that has one, at the end of its epoch: whoever writes it, it is the same point."""
    from mlflow.entities import Metric

    assert end.best is not None
    value, epoch, ended_s = end.best
    return Metric(metric, value, int(ended_s * 1000), epoch)


def file_text(value: Any) -> str:
    """A JSON value as a file."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def is_refused(error: Exception) -> bool:
    """Whether MLflow answers and will never take this record; everything else may pass with time."""
    return getattr(error, "error_code", None) in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
