"""Optimisation history: every trial's value in the order they were asked, with the best so far."""

from typing import Any

import plotly.graph_objects as go

from dashboards.frame import caption, frame, missing, whole_ticks, why_no_value
from dashboards.outcomes import Outcome, is_better, outcome
from dashboards.palette import INK
from dashboards.text import hover, plotly_text, shown_score
from dashboards.thinning import spread_by_rank, thinned_words
from search.records.study import StudyRecord

TITLE = "History"
MOST_TRIALS = 2000


def history_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per trial with a value: trial, state, value, and the best of the COMPLETE ones so far (or None)."""
    rows: list[dict[str, Any]] = []
    best: float | None = None
    for trial in study.trials:
        if trial.value is None:
            continue
        counts = trial.state == "COMPLETE" and not trial.violated
        if counts and (best is None or is_better(study, trial.value, best)):
            best = trial.value
        rows.append(
            {"trial": trial.number, "state": outcome(trial).value.label, "value": trial.value, "best so far": best}
        )
    return rows


def draw_history(study: StudyRecord) -> go.Figure:
    """Points by the way the trial ended, and a step line of the best so far."""
    rows = history_table(study)
    with_value = [trial for trial in study.trials if trial.value is not None]
    shown_trials = spread_by_rank(with_value, lambda trial: trial.value or 0.0, MOST_TRIALS)
    subtitle = caption(study, shown_trials)
    if not rows:
        return missing(TITLE, subtitle, why_no_value(study))
    figure = go.Figure()
    known = [row for row in rows if row["best so far"] is not None]
    with_best = [
        row
        for index, row in enumerate(known)
        if index in (0, len(known) - 1) or row["best so far"] != known[index - 1]["best so far"]
    ]
    figure.add_scatter(
        x=[row["trial"] for row in with_best],
        y=[row["best so far"] for row in with_best],
        mode="lines",
        line={"color": INK, "width": 1.5, "shape": "hv"},
        name="best so far",
        hoverinfo="skip",
    )
    for one in Outcome:
        trials = [trial for trial in shown_trials if outcome(trial) is one]
        if trials:
            figure.add_scatter(
                x=[trial.number for trial in trials],
                y=[trial.value for trial in trials],
                mode="markers",
                marker=one.value.marker(9),
                name=one.value.label,
                hoverinfo="text",
                hovertext=[hover(study, trial.number, trial.value, one.value.label) for trial in trials],
            )
    last = max(row["trial"] for row in rows)
    figure.update_xaxes(title="trial", range=[-0.6, last + 0.6], **whole_ticks(last))
    figure.update_yaxes(title=plotly_text(study.metric))
    figure.update_layout(hovermode="closest", showlegend=True)
    best = rows[-1]["best so far"]
    alt = f"{study.metric} of {len(rows)} trials in the order they were asked"
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=[
            "A complete trial counts with its best epoch, a pruned one with its last.",
            *thinned_words(len(shown_trials), len(with_value)),
        ],
        alt=alt + (f"; the best is {shown_score(best)}." if best is not None else "; none is complete yet."),
        top=44,
    )
