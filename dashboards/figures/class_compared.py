"""IoU per class of the best trials of several studies, from the most to the least frequent class."""

import math
from typing import Any

import plotly.graph_objects as go

from dashboards.classes import by_frequency, class_ious, class_names_and_shares, shown_share
from dashboards.frame import frame, missing
from dashboards.outcomes import best_trial
from dashboards.palette import SERIES
from dashboards.text import data_words, plotly_text, shown_score
from search.records.study import StudyRecord, TrialRecord

TITLE = "IoU per class, best of each study"


def class_compared_table(*studies: StudyRecord) -> list[dict[str, Any]]:
    """One dict per class, the most frequent in the first study's training first: class, its share of the training
    pixels, and the IoU in the best trial of each study (NaN where undefined).

    Studies without a complete trial, without its row here or with other classes than the first have no column.
    """
    found = [(study, ious) for study, ious in _ious(studies) if ious]
    if not found:
        return []
    first, ious = found[0]
    names, shares = class_names_and_shares(first, len(ious))
    same = [(study, ious) for study, ious in found if class_names_and_shares(study, len(ious))[0] == names]
    return [
        {
            "class": names[index],
            "share of training pixels": shares[index],
            **{study.name: ious[index] for study, ious in same},
        }
        for index in by_frequency(shares)
    ]


def draw_class_compared(*studies: StudyRecord) -> go.Figure:
    """A lane per class, a mark per study."""
    best = [(study, best_trial(study)) for study in studies]
    subtitle = "; ".join(f"{study.name}: {_best_words(trial)}" for study, trial in best)
    subtitle += f" · {studies[0].metric} · {data_words(studies[0])}"
    rows = class_compared_table(*studies)[::-1]
    if not rows:
        return missing(TITLE, subtitle, "No study's best trial has an IoU per class on this machine.")
    figure = go.Figure()
    for index, study in enumerate(studies):
        if study.name not in rows[0]:
            continue
        colour, symbol = SERIES[index % len(SERIES)]
        figure.add_scatter(
            x=[row[study.name] if math.isfinite(row[study.name]) else None for row in rows],
            y=list(range(len(rows))),
            mode="markers",
            marker={"color": colour, "symbol": f"{symbol}-open", "size": 10, "line": {"width": 2, "color": colour}},
            name=plotly_text(study.name),
            hoverinfo="text",
            hovertext=[
                f"<b>{plotly_text(row['class'])}</b><br>{plotly_text(study.name)} {shown_score(row[study.name])}"
                for row in rows
            ],
        )
    labels = [
        plotly_text(row["class"])
        + ("" if row["share of training pixels"] is None else f" ({shown_share(row['share of training pixels'])})")
        for row in rows
    ]
    figure.update_xaxes(range=[-0.02, 1.02], title="IoU", nticks=6)
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=labels, range=[-0.6, len(rows) - 0.4])
    figure.update_layout(hovermode="closest", showlegend=True)
    without = [study.name for study in studies if study.name not in rows[0]]
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=[
            "Classes from the most to the least frequent (share of the training pixels).",
            *([f"Not shown, of other classes or without rows here: {', '.join(without)}."] if without else []),
        ],
        alt=f"IoU of {len(rows)} classes in the best trial of {len(studies) - len(without)} studies.",
        height=90 + 27 * len(rows),
        top=44,
    )


def _ious(studies: tuple[StudyRecord, ...]) -> list[tuple[StudyRecord, list[float]]]:
    best = [(study, best_trial(study)) for study in studies]
    return [(study, [] if trial is None else class_ious(trial, trial.best_epoch)) for study, trial in best]


def _best_words(trial: TrialRecord | None) -> str:
    if trial is None:
        return "none complete"
    return f"trial {trial.number} (complete), epoch {trial.best_epoch}, {shown_score(trial.value)}"
