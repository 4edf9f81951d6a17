"""What pruning saved, how well early epochs foretell the end, and what the unpruned tenth says it cost."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from dashboards.frame import caption, frame, missing
from dashboards.outcomes import Outcome, is_better, outcome
from dashboards.palette import COMPLETE, DIVERGED, PRUNED
from dashboards.text import shown_score
from search.records.study import StudyRecord, TrialRecord

TITLE = "Pruning"
# Of two trials every rank correlation is 1 or -1.
FEWEST = 4
_FEW = f"Correlations take {FEWEST} complete trials."


def pruning_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per epoch: how many trials reached it, how many the pruner ended there, and Spearman's rank correlation
    of the values there with those of the last epoch, among all complete trials and among those that were never to be
    pruned (None under four trials, or where all are equal).
    """
    complete = [trial for trial in study.trials if trial.state == "COMPLETE" and _last(trial) is not None]
    unpruned = [trial for trial in complete if trial.audit]
    ended = Counter(max(trial.values) for trial in study.trials if outcome(trial) is Outcome.PRUNED and trial.values)
    reached = Counter(epoch for trial in study.trials for epoch in trial.values)
    rows = []
    for epoch in sorted(reached):
        all_complete, all_unpruned = _correlation(complete, epoch), _correlation(unpruned, epoch)
        rows.append(
            {
                "epoch": epoch,
                "trials": reached[epoch],
                "pruned": ended[epoch],
                "correlation, complete": all_complete[0],
                "complete": all_complete[1],
                "correlation, unpruned tenth": all_unpruned[0],
                "unpruned": all_unpruned[1],
            }
        )
    return rows


def saved_words(study: StudyRecord) -> str:
    """How many epochs the pruner saved, had each trial that it ended run to the last epoch."""
    pruned = [trial for trial in study.trials if outcome(trial) is Outcome.PRUNED and trial.values]
    epochs = study.facts.get("epochs") or max((max(trial.values) for trial in study.trials if trial.values), default=0)
    saved = sum(max(0, epochs - max(trial.values)) for trial in pruned)
    run = sum(len(trial.values) for trial in study.trials)
    if not pruned:
        return "The pruner ended no trial."
    return (
        f"The pruner ended {len(pruned)} trials and saved {saved} epochs, {saved / (saved + run):.0%} of what all "
        f"would have taken with {epochs} epochs each."
    )


def regret_words(study: StudyRecord) -> str:
    """What pruning would have lost among the trials that it left alone: the best of all against the best it would have
    kept (pruning regret).
    """
    tenth = [trial for trial in study.trials if trial.audit and trial.state == "COMPLETE" and trial.value is not None]
    if not tenth:
        return "No trial of the unpruned tenth is complete: what pruning costs is not known."
    would = [trial for trial in tenth if trial.attrs.get("would_prune_at") is not None]
    start = f"Of {len(tenth)} complete trials of the unpruned tenth the pruner would have ended {len(would)}"
    if not would:
        return f"{start}: no regret seen."
    best, kept = _best(study, tenth), _best(study, [trial for trial in tenth if trial not in would])
    if kept is None:
        return f"{start}: none is left to compare with."
    assert best is not None and best.value is not None and kept.value is not None
    return (
        f"{start}; regret {abs(best.value - kept.value):.4f}: the best of all has {shown_score(best.value)}, the best "
        f"that it would have kept {shown_score(kept.value)}."
    )


def draw_pruning(study: StudyRecord) -> go.Figure:
    """Rank correlation with the last epoch over epochs; below it, where the pruner ended trials."""
    rows = pruning_table(study)
    with_values = [trial for trial in study.trials if trial.values]
    subtitle = caption(study, with_values)
    if not rows:
        return missing(TITLE, subtitle, "No epoch is recorded yet.")
    series = [
        ("all complete trials", "correlation, complete", "complete", COMPLETE, "circle"),
        ("the unpruned tenth", "correlation, unpruned tenth", "unpruned", DIVERGED, "diamond-open"),
    ]
    if not any(row["pruned"] for row in rows) and all(row[key] is None for row in rows for _, key, *_ in series):
        return missing(TITLE, subtitle, f"{saved_words(study)} {regret_words(study)} {_FEW}")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.65, 0.35], vertical_spacing=0.08)
    for name, key, count, colour, symbol in series:
        known = [row for row in rows if row[key] is not None]
        if known:
            figure.add_scatter(
                x=[row["epoch"] for row in known],
                y=[row[key] for row in known],
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"symbol": symbol, "size": 8},
                name=name,
                hoverinfo="text",
                hovertext=[f"epoch {row['epoch']}<br>{row[key]:.2f}, {row[count]} trials" for row in known],
                row=1,
                col=1,
            )
    figure.add_bar(
        x=[row["epoch"] for row in rows],
        y=[row["pruned"] for row in rows],
        marker={"color": PRUNED},
        name="pruned at this epoch",
        hoverinfo="text",
        hovertext=[f"epoch {row['epoch']}<br>{row['pruned']} of {row['trials']} pruned" for row in rows],
        row=2,
        col=1,
    )
    figure.update_yaxes(title="rank correlation<br>with the end", range=[-1.08, 1.08], nticks=5, row=1, col=1)
    figure.update_yaxes(title="pruned", rangemode="tozero", tickformat="d", nticks=4, row=2, col=1)
    figure.update_xaxes(tickformat="d", nticks=12, range=[0.4, rows[-1]["epoch"] + 0.6])
    figure.update_xaxes(title="epoch", row=2, col=1)
    figure.update_layout(hovermode="closest", showlegend=True)
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=[
            saved_words(study),
            regret_words(study),
            "Spearman's correlation of an epoch's values with the last epoch's.",
            "Complete trials survived pruning, which biases their correlation; the unpruned tenth has no such bias.",
        ],
        alt=f"Rank correlation of {study.metric} at each epoch with the last. {saved_words(study)} "
        f"{regret_words(study)}",
        top=44,
    )


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation within -1 to 1, ties having their mean rank; None where either is constant."""
    ranks = _ranks(first), _ranks(second)
    if any(np.ptp(one) == 0 for one in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)


def _correlation(trials: Sequence[TrialRecord], epoch: int) -> tuple[float | None, int]:
    pairs = [
        (trial.values[epoch], _last(trial)) for trial in trials if math.isfinite(trial.values.get(epoch, math.nan))
    ]
    if len(pairs) < FEWEST:
        return None, len(pairs)
    return spearman([value for value, _ in pairs], [last for _, last in pairs if last is not None]), len(pairs)


def _last(trial: TrialRecord) -> float | None:
    """The value of a trial's last epoch; None where there is none or it is undefined."""
    value = trial.values[max(trial.values)] if trial.values else math.nan
    return value if math.isfinite(value) else None


def _best(study: StudyRecord, trials: Sequence[TrialRecord]) -> TrialRecord | None:
    best: TrialRecord | None = None
    for trial in trials:
        if best is None or is_better(study, trial.value or 0.0, best.value or 0.0):
            best = trial
    return best
