"""The ten best trials as a table: best and final value, and how much the last epochs still moved."""

import math
from typing import Any

from dashboards.outcomes import ranked
from dashboards.parameters import parameter_axes
from search.records.study import StudyRecord, TrialRecord

TITLE = "The ten best"
SHOWN = 10
LAST_EPOCHS = 3


def best_table(study: StudyRecord, count: int = SHOWN) -> list[dict[str, Any]]:
    """One dict per COMPLETE trial, the best first, at most `count`.

    The best of many epochs is optimistic, hence `final` (the last epoch's value) and `spread` (largest minus smallest
    value of the last three epochs; None where fewer are recorded). Parameters that are not active are None.
    """
    axes = parameter_axes(study)
    return [
        {
            "rank": rank,
            "trial": trial.number,
            "best": trial.value,
            "epoch": trial.best_epoch,
            **_end(trial),
            **{path: trial.params.get(path) for path in axes},
        }
        for rank, trial in enumerate(ranked(study)[:count], start=1)
    ]


def _end(trial: TrialRecord) -> dict[str, float | None]:
    values = list(trial.values.values())
    last = values[-LAST_EPOCHS:]
    known = len(last) == LAST_EPOCHS and all(map(math.isfinite, last))
    return {"final": values[-1] if values else None, "spread": max(last) - min(last) if known else None}
