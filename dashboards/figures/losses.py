"""Losses of the best trials and of those that diverged, by epoch, with the learning rate under them."""

import math
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards.frame import caption, epoch_axis, frame, missing
from dashboards.outcomes import Outcome, outcome, ranked
from dashboards.palette import MUTED, SERIES
from dashboards.text import plotly_text, shown
from search.records.study import StudyRecord, TrialRecord

TITLE = "Losses and learning rate"
BEST, NEWEST_DIVERGED = 3, 2
METRICS = {"training loss": "train/loss", "validation loss": "val/loss", "learning rate": "lr"}


def losses_table(study: StudyRecord, numbers: list[int] | None = None) -> list[dict[str, Any]]:
    """One dict per trial and recorded epoch: trial, state, epoch, both losses and the learning rate (NaN where not
    recorded or not finite); of these trials, by default the three best and the two newest that diverged.
    """
    return [
        {
            "trial": trial.number,
            "state": outcome(trial).value.label,
            "epoch": row.epoch,
            **{name: row.metrics.get(key, math.nan) for name, key in METRICS.items()},
        }
        for trial in _chosen(study, numbers)
        for row in trial.rows
    ]


def draw_losses(study: StudyRecord, numbers: list[int] | None = None) -> go.Figure:
    """A colour per trial: validation loss solid, training loss dotted, below them the learning rate, logarithmic."""
    trials = _chosen(study, numbers)
    subtitle = caption(study, trials)
    rows = losses_table(study, numbers)
    finite = [row for row in rows if any(math.isfinite(row[name]) for name in METRICS)]
    if not finite:
        if trials:
            return missing(TITLE, subtitle, f"No losses are here: expected epochs.jsonl in {trials[0].folder}.")
        return missing(TITLE, subtitle, "No trial is complete or has diverged yet.")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.07)
    for index, trial in enumerate(trials):
        own = [row for row in rows if row["trial"] == trial.number]
        colour = SERIES[index % len(SERIES)][0]
        label = f"trial {trial.number}, {outcome(trial).value.label}"
        for name, dash, line in (
            ("validation loss", "solid", 1),
            ("training loss", "dot", 1),
            ("learning rate", "solid", 2),
        ):
            figure.add_scatter(
                x=[row["epoch"] for row in own],
                y=[row[name] if math.isfinite(row[name]) else None for row in own],
                mode="lines+markers" if len(own) == 1 else "lines",
                connectgaps=False,
                line={"color": colour, "width": 2, "dash": dash},
                legendgroup=label,
                name=label,
                showlegend=name == "validation loss",
                hoverinfo="text",
                hovertext=[
                    f"<b>{label}</b><br>epoch {row['epoch']}<br>{name} {plotly_text(shown(row[name]))}" for row in own
                ],
                row=line,
                col=1,
            )
        _mark_end(figure, trial, own, colour, label)
    for name, dash in (("validation", "solid"), ("training", "dot")):
        figure.add_scatter(
            x=[None], y=[None], mode="lines", line={"color": MUTED, "dash": dash}, name=name, row=1, col=1
        )
    last = max(row["epoch"] for row in rows)
    figure.update_xaxes(**epoch_axis(last))
    figure.update_xaxes(title="epoch", row=2, col=1)
    figure.update_yaxes(title="loss", row=1, col=1)
    figure.update_yaxes(title="learning rate", type="log", nticks=4, exponentformat="power", row=2, col=1)
    figure.update_layout(hovermode="closest", showlegend=True)
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=["Trials may weigh losses differently: compare the shapes of curves, not their heights."],
        alt=f"Losses and learning rate of trials {', '.join(str(trial.number) for trial in trials)} by epoch.",
        height=430,
        top=44,
    )


def _chosen(study: StudyRecord, numbers: list[int] | None) -> list[TrialRecord]:
    if numbers is not None:
        return [trial for trial in study.trials if trial.number in numbers]
    diverged = [trial for trial in study.trials if outcome(trial) is Outcome.DIVERGED]
    return ranked(study)[:BEST] + diverged[-NEWEST_DIVERGED:]


def _mark_end(figure: go.Figure, trial: TrialRecord, rows: list[dict[str, Any]], colour: str, label: str) -> None:
    """The mark of how the trial ended, at its last finite validation loss."""
    finite = [row for row in rows if math.isfinite(row["validation loss"])]
    if finite:
        figure.add_scatter(
            x=[finite[-1]["epoch"]], y=[finite[-1]["validation loss"]], mode="markers", hoverinfo="skip",
            marker={**outcome(trial).value.marker(9), "color": colour, "line": {"width": 2, "color": colour}},
            legendgroup=label, showlegend=False, row=1, col=1,
        )  # fmt: skip
