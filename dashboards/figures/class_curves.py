"""IoU of chosen classes by epoch, of one trial: which classes are learnt late, and which not at all."""

import math
from typing import Any

import plotly.graph_objects as go

from dashboards.classes import ARRAY, by_frequency, class_names_and_shares, shown_share
from dashboards.frame import epoch_axis, frame, missing, why_no_value
from dashboards.outcomes import best_trial, outcome
from dashboards.palette import SERIES
from dashboards.text import data_words, plotly_text, shown_score
from search.records.study import StudyRecord, TrialRecord

TITLE = "IoU of the rarest classes over epochs"
RAREST = 5


def class_curves_table(
    study: StudyRecord, number: int | None = None, classes: list[str] | None = None
) -> list[dict[str, Any]]:
    """One dict per class and epoch of a trial (by default the best): class, its share of the training pixels, epoch,
    IoU (NaN where undefined); of these classes, by default the five least frequent that are defined at all.
    """
    trial = _trial(study, number)
    rows = [row for row in trial.rows if row.arrays.get(ARRAY)] if trial is not None else []
    if not rows:
        return []
    count = len(rows[0].arrays[ARRAY])
    names, shares = class_names_and_shares(study, count)
    defined = [index for index in range(count) if any(math.isfinite(row.arrays[ARRAY][index]) for row in rows)]
    rarest = [index for index in by_frequency(shares) if index in defined][-RAREST:]
    chosen = rarest if classes is None else [index for index in range(count) if names[index] in classes]
    return [
        {
            "class": names[index],
            "share of training pixels": shares[index],
            "epoch": row.epoch,
            "IoU": row.arrays[ARRAY][index],
        }
        for index in chosen
        for row in rows
    ]


def draw_class_curves(study: StudyRecord, number: int | None = None, classes: list[str] | None = None) -> go.Figure:
    """A line per class."""
    trial = _trial(study, number)
    if trial is None:
        return missing(TITLE, data_words(study), why_no_value(study))
    subtitle = f"trial {trial.number} ({outcome(trial).value.label}) · {study.metric} {shown_score(trial.value)} · "
    subtitle += data_words(study)
    rows = class_curves_table(study, number, classes)
    if not rows:
        return missing(TITLE, subtitle, f"The rows of trial {trial.number} are not here: expected {trial.folder}.")
    names = list(dict.fromkeys(row["class"] for row in rows))
    figure = go.Figure()
    for index, name in enumerate(names):
        own = [row for row in rows if row["class"] == name]
        colour, symbol = SERIES[index % len(SERIES)]
        share = own[0]["share of training pixels"]
        label = plotly_text(name) + (f" ({shown_share(share)})" if share is not None else "")
        figure.add_scatter(
            x=[row["epoch"] for row in own],
            y=[row["IoU"] if math.isfinite(row["IoU"]) else None for row in own],
            mode="lines+markers",
            connectgaps=False,
            line={"color": colour, "width": 2},
            marker={"symbol": symbol, "size": 7},
            name=label,
            hoverinfo="text",
            hovertext=[
                f"<b>{plotly_text(name)}</b><br>epoch {row['epoch']}<br>{shown_score(row['IoU'])}" for row in own
            ],
        )
    figure.update_xaxes(title="epoch", **epoch_axis(max(row["epoch"] for row in rows)))
    figure.update_yaxes(title="IoU", rangemode="tozero")
    figure.update_layout(hovermode="closest", showlegend=True)
    return frame(
        figure,
        title=TITLE if classes is None else "IoU of classes over epochs",
        subtitle=subtitle,
        notes=["In brackets: share of the training pixels."] if rows[0]["share of training pixels"] is not None else [],
        alt=f"IoU by epoch of {', '.join(names)} in trial {trial.number}.",
        top=44,
    )


def _trial(study: StudyRecord, number: int | None) -> TrialRecord | None:
    if number is None:
        return best_trial(study)
    return next((trial for trial in study.trials if trial.number == number), None)
