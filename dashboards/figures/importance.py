"""Importance of parameters by PED-ANOVA, over COMPLETE and PRUNED trials at one epoch that they all reached."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards.evaluators import ped_anova
from dashboards.frame import caption, frame, missing
from dashboards.palette import ACCENT
from dashboards.text import broken_path
from search.records.study import StudyRecord, TrialRecord

TITLE = "Importance"
# Enough trials that the figure is worth a look.
ENOUGH_TRIALS = 10
# With fewer, every parameter explains everything.
FEWEST_TRIALS = 3
# PED-ANOVA describes how parameters differ between the best trials and all. Optuna's default is the best tenth, and
# its documentation asks for five trials at least. With one decisive and four weak parameters, the best five of 10 or 24
# trials rank the decisive one first in 70 % and 92 % of the searches, the best tenth in 14 % and 76 %.
# `python -m benchmarks.run importance`
TOP_SHARE = 0.1
TOP_TRIALS = 5
# A conditional parameter that one or two of the best trials had looks decisive by their chance values alone: one
# without any effect gets more than half of the importance in 13 % of searches of 10 trials, by this rule in 2 %.
FEWEST_IN_BEST = 3


@dataclass(frozen=True)
class Importance:
    """Shares by parameter (they sum to 1; empty where nothing can be told), the epoch, the trials, the best of them
    that PED-ANOVA sets against all, and warnings.
    """

    shares: dict[str, float]
    epoch: int | None
    trials: tuple[TrialRecord, ...]
    best: tuple[TrialRecord, ...]
    warnings: tuple[str, ...]

    @property
    def top(self) -> int:
        """Number of the best trials."""
        return len(self.best)


def compared_trials(study: StudyRecord) -> tuple[int | None, tuple[TrialRecord, ...]]:
    """The largest epoch that at least ten COMPLETE or PRUNED trials reached with a finite value, and those trials.

    With fewer than ten trials, the largest epoch that all of them reached; None where there is no trial.
    """
    ended = [trial for trial in study.trials if trial.state in ("COMPLETE", "PRUNED") and _finite_epochs(trial)]
    if not ended:
        return None, ()
    needed = min(ENOUGH_TRIALS, len(ended))
    epochs = sorted({epoch for trial in ended for epoch in _finite_epochs(trial)}, reverse=True)
    for epoch in epochs:
        reached = tuple(trial for trial in ended if epoch in _finite_epochs(trial))
        if len(reached) >= needed:
            return epoch, reached
    # Epochs without a defined value may leave none that all share: the one that most reached is the next best.
    epoch = max(epochs, key=lambda one: sum(one in _finite_epochs(trial) for trial in ended))
    return epoch, tuple(trial for trial in ended if epoch in _finite_epochs(trial))


def top_share(count: int) -> float:
    """The part of so many trials that PED-ANOVA sets against all: a tenth, but five trials, and at most half."""
    return max(TOP_SHARE, min(0.5, TOP_TRIALS / max(1, count)))


def enough_have(best: Sequence[TrialRecord], path: str) -> bool:
    """Whether so many of the best trials had the parameter that its values there are more than chance."""
    return sum(path in trial.params for trial in best) >= min(FEWEST_IN_BEST, len(best))


def normalised(raw: dict[str, float]) -> dict[str, float]:
    """Shares that sum to 1; none where nothing is explained."""
    total = sum(raw.values())
    return {path: value / total for path, value in raw.items()} if total > 0 else {}


def importance_of(study: StudyRecord) -> Importance:
    """PED-ANOVA on the compared trials' values at their common epoch; conditional parameters where enough of the best
    trials had them.
    """
    epoch, trials = compared_trials(study)
    best = _best(study, epoch, trials)[: math.ceil(top_share(len(trials)) * len(trials))]
    notes: list[str] = []
    if len(trials) < ENOUGH_TRIALS:
        notes.append(
            f"Warning: {len(trials)} trials have a common epoch, fewer than {ENOUGH_TRIALS}; this may be chance."
        )
    if epoch is None or len(trials) < FEWEST_TRIALS:
        return Importance({}, epoch, trials, best, tuple(notes))
    raw = ped_anova(trials, [trial.values[epoch] for trial in trials], study.maximize, top_share(len(trials)))
    few = sorted(path for path in raw if not enough_have(best, path))
    if few:
        counts = ", ".join(f"{path} ({_active_in(best, path)})" for path in few)
        notes.append(f"Not judged, active in fewer than {FEWEST_IN_BEST} of the best {len(best)}: {counts}.")
    shares = normalised({path: value for path, value in raw.items() if path not in few})
    ordered = dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
    return Importance(ordered, epoch, trials, best, tuple(notes))


def importance_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per parameter, the most important first: its share, in how many of the trials and of the best ones it
    was active, of how many trials, the epoch.
    """
    return _rows(importance_of(study))


def draw_importance(study: StudyRecord) -> go.Figure:
    """Bars by parameter, the most important on top."""
    found = importance_of(study)
    subtitle = f"{caption(study, found.trials)} at epoch {found.epoch}"
    if not found.shares:
        return missing(TITLE, caption(study, found.trials), _why_missing(found))
    rows = _rows(found)[::-1]
    labels = [
        broken_path(row["parameter"], width=24)
        + ("" if row["active in"] == row["trials"] else f"<br>{_active(row, found)}")
        for row in rows
    ]
    figure = go.Figure(
        go.Bar(
            x=[row["importance"] for row in rows],
            y=list(range(len(rows))),
            orientation="h",
            width=0.62,
            marker={"color": ACCENT},
            text=[f"{row['importance']:.0%}" for row in rows],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    largest = rows[-1]["importance"]
    figure.update_xaxes(range=[0, largest * 1.15], tickformat=".0%", title="share of importance", nticks=5)
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=labels, showgrid=False, range=[-0.6, len(rows) - 0.4])
    first = rows[-1]
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=[
            f"PED-ANOVA: how differently the best {found.top} and all {len(found.trials)} trials use each parameter.",
            *found.warnings,
        ],
        alt=f"Importance of {len(rows)} parameters; the most important is {first['parameter']} "
        f"with {first['importance']:.0%}.",
        height=90 + 44 * len(rows),
    )


def _rows(found: Importance) -> list[dict[str, Any]]:
    return [
        {
            "parameter": path,
            "importance": share,
            "active in": _active_in(found.trials, path),
            "active in best": _active_in(found.best, path),
            "trials": len(found.trials),
            "epoch": found.epoch,
        }
        for path, share in found.shares.items()
    ]


def _best(study: StudyRecord, epoch: int | None, trials: tuple[TrialRecord, ...]) -> tuple[TrialRecord, ...]:
    """The trials from the best at the epoch on."""
    if epoch is None:
        return ()
    return tuple(sorted(trials, key=lambda trial: trial.values[epoch], reverse=study.maximize))


def _active(row: dict[str, Any], found: Importance) -> str:
    return f"(active in {row['active in']} of {row['trials']}, in {row['active in best']} of the best {found.top})"


def _finite_epochs(trial: TrialRecord) -> set[int]:
    return {epoch for epoch, value in trial.values.items() if math.isfinite(value)}


def _active_in(trials: tuple[TrialRecord, ...], path: str) -> int:
    return sum(path in trial.params for trial in trials)


def _why_missing(found: Importance) -> str:
    if len(found.trials) < FEWEST_TRIALS:
        return (
            f"{len(found.trials)} ended trials with a value: at least {FEWEST_TRIALS} are needed to compare "
            f"parameters, {ENOUGH_TRIALS} to trust it."
        )
    return "The trials' values do not differ with any parameter."
