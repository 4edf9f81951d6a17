"""The figures of one trial: its curves, its classes over epochs, its pictures."""

import math
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from dashboards.classes import ARRAY, class_names_and_shares
from dashboards.figures.pictures import draw_trial_pictures
from dashboards.frame import frame, missing
from dashboards.outcomes import outcome
from dashboards.palette import ACCENT, COMPLETE, DIVERGED, INK, PRUNED, RAMP, RUNNING
from dashboards.text import data_words, plotly_text, shown_score
from search.records.study import StudyRecord, TrialRecord

LOSS_COLOURS = (ACCENT, PRUNED, DIVERGED, RUNNING, INK)
# Of the height of all panels, between two.
GAP = 0.06
FIGURES = ("curves", "classes", "pictures")


def draw_trial(study: StudyRecord, trial: TrialRecord, key: str) -> go.Figure:
    """A figure of one trial; raises KeyError where there is none of this name."""
    draw = {"curves": draw_trial_curves, "classes": draw_trial_classes, "pictures": draw_trial_pictures}
    return draw[key](study, trial)


def draw_trial_curves(study: StudyRecord, trial: TrialRecord) -> go.Figure:
    """The metric, the losses and the learning rate by epoch, one above the other."""
    title, subtitle = "Curves", f"{_who(trial)} · {study.metric} · {data_words(study)}"
    rows = trial.rows
    if not trial.values and not rows:
        return missing(title, subtitle, "No epoch of this trial is recorded yet.")
    losses = sorted({key for row in rows for key in row.metrics if "loss" in key or key.endswith("/ce")})
    panels = {study.metric: [_line(study.metric, trial.values or {row.epoch: row.value for row in rows}, COMPLETE)]}
    if losses:
        panels["loss"] = [
            _line(loss, {row.epoch: row.metrics.get(loss) for row in rows}, LOSS_COLOURS[index % len(LOSS_COLOURS)])
            for index, loss in enumerate(losses)
        ]
    if any("lr" in row.metrics for row in rows):
        panels["learning rate"] = [_line("learning rate", {row.epoch: row.metrics.get("lr") for row in rows}, INK)]
    return frame(
        # Given at once: Plotly takes three times as long to change a figure as to make one.
        go.Figure(
            [
                {**line, "xaxis": f"x{index}" if index > 1 else "x", "yaxis": f"y{index}" if index > 1 else "y"}
                for index, lines in enumerate(panels.values(), start=1)
                for line in lines
            ],
            {**_axes(list(panels)), "hovermode": "x unified", "showlegend": True},
        ),
        title=title,
        subtitle=subtitle,
        alt=f"{study.metric}, losses and learning rate of trial {trial.number} over {len(trial.values)} epochs; "
        f"its value is {shown_score(trial.value)}.",
        height=120 + 150 * len(panels),
        top=44,
    )


def trial_classes_table(study: StudyRecord, trial: TrialRecord) -> list[dict[str, Any]]:
    """One dict per class: its name and its IoU by epoch (NaN where undefined); none where no row has them."""
    rows = [row for row in trial.rows if row.arrays.get(ARRAY)]
    if not rows:
        return []
    labels, _ = class_names_and_shares(study, len(rows[-1].arrays[ARRAY]))
    return [
        {"class": label, **{str(row.epoch): row.arrays[ARRAY][index] for row in rows}}
        for index, label in enumerate(labels)
    ]


def draw_trial_classes(study: StudyRecord, trial: TrialRecord) -> go.Figure:
    """A heat map of IoU: a row per class, a column per epoch."""
    title, subtitle = "IoU per class over epochs", f"{_who(trial)} · IoU · {data_words(study)}"
    table = trial_classes_table(study, trial)
    if not table:
        return missing(title, subtitle, f"The rows of trial {trial.number} are not here: expected {trial.folder}.")
    epochs = [key for key in table[0] if key != "class"]
    grid = [[None if math.isnan(row[epoch]) else row[epoch] for epoch in epochs] for row in table]
    names = [plotly_text(row["class"]) for row in table]
    figure = go.Figure(
        go.Heatmap(
            x=[int(epoch) for epoch in epochs],
            y=list(range(len(names))),
            z=grid,
            zmin=0.0,
            zmax=1.0,
            colorscale=[[index / (len(RAMP) - 1), colour] for index, colour in enumerate(RAMP)],
            colorbar={"title": {"text": "IoU"}, "thickness": 12, "outlinewidth": 0},
            customdata=[[name] * len(epochs) for name in names],
            hovertemplate="%{customdata}, epoch %{x}: IoU %{z:.4f}<extra></extra>",
            hoverongaps=False,
        )
    )
    figure.update_xaxes(title="epoch", tickformat="d", showgrid=False)
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, showgrid=False, autorange="reversed")
    return frame(
        figure,
        title=title,
        subtitle=subtitle,
        notes=["The stronger a cell stands out, the higher the IoU; an empty one is undefined."],
        alt=f"IoU of {len(names)} classes over {len(epochs)} epochs of trial {trial.number}.",
        height=90 + 22 * len(names),
    )


def _line(name: str, values: Mapping[int, float | None], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": list(values),
        "y": [value if value is not None and math.isfinite(value) else None for value in values.values()],
        "mode": "lines+markers",
        "name": plotly_text(name),
        "line": {"color": colour, "width": 1.8},
        "marker": {"size": 5},
    }


def _axes(names: list[str]) -> dict[str, Any]:
    """Axes of panels one above the other, which share their epochs: the last one says them."""
    height = (1 - GAP * (len(names) - 1)) / len(names)
    axes: dict[str, Any] = {}
    for index, name in enumerate(names, start=1):
        top = 1 - (index - 1) * (height + GAP)
        number, last = "" if index == 1 else str(index), index == len(names)
        axes[f"xaxis{number}"] = {
            "anchor": f"y{number}",
            "tickformat": "d",
            "showticklabels": last,
            **({"title": {"text": "epoch"}} if last else {}),
            **({} if index == 1 else {"matches": "x"}),
        }
        axes[f"yaxis{number}"] = {
            "anchor": f"x{number}",
            "domain": [max(0.0, top - height), top],
            "title": {"text": plotly_text(name)},
            "nticks": 5,
            **({"rangemode": "tozero"} if name == "learning rate" else {}),
        }
    return axes


def _who(trial: TrialRecord) -> str:
    return f"trial {trial.number} ({outcome(trial).value.label})"
