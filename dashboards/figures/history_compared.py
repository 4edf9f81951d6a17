"""Optimisation histories of several studies: the best so far over the epochs that each had trained."""

from typing import Any

import plotly.graph_objects as go

from dashboards.figures.history import history_table
from dashboards.frame import frame, missing, whole_ticks
from dashboards.outcomes import count_outcomes
from dashboards.palette import SERIES
from dashboards.text import counted, data_words, plotly_text, shown_score
from search.records.study import StudyRecord

TITLE = "Best so far, study by study"


def history_compared_table(*studies: StudyRecord) -> list[dict[str, Any]]:
    """One dict per study and trial with which its best changed, and its last: trial, epochs trained by all trials up
    to it in the order they were asked, best so far.
    """
    rows = []
    for study in studies:
        spent: dict[int, int] = {}
        epochs = 0
        for trial in study.trials:
            epochs += len(trial.values)
            spent[trial.number] = epochs
        history = [row for row in history_table(study) if row["best so far"] is not None]
        for before, row in zip([None, *history], history, strict=False):
            if before is None or row["best so far"] != before["best so far"] or row is history[-1]:
                rows.append(
                    {
                        "study": study.name,
                        "trial": row["trial"],
                        "epochs": spent[row["trial"]],
                        "best so far": row["best so far"],
                    }
                )
    return rows


def draw_history_compared(*studies: StudyRecord) -> go.Figure:
    """A step line per study."""
    rows = history_compared_table(*studies)
    subtitle = "; ".join(
        f"{study.name}: {counted(len(study.trials), 'trial')} ({count_outcomes(study.trials)})" for study in studies
    )
    subtitle += f" · {studies[0].metric} · {data_words(studies[0])}"
    if not rows:
        return missing(TITLE, subtitle, "No trial of these studies is complete yet.")
    figure = go.Figure()
    for index, study in enumerate(studies):
        own = [row for row in rows if row["study"] == study.name]
        if own:
            colour, symbol = SERIES[index % len(SERIES)]
            figure.add_scatter(
                x=[row["epochs"] for row in own],
                y=[row["best so far"] for row in own],
                mode="lines+markers",
                line={"color": colour, "width": 2, "shape": "hv"},
                marker={"symbol": symbol, "size": 8},
                name=plotly_text(study.name),
                hoverinfo="text",
                hovertext=[
                    f"<b>{plotly_text(study.name)}</b><br>trial {row['trial']}, after {row['epochs']} epochs<br>"
                    f"{shown_score(row['best so far'])}"
                    for row in own
                ],
            )
    figure.update_xaxes(title="epochs trained", rangemode="tozero", **whole_ticks(max(row["epochs"] for row in rows)))
    figure.update_yaxes(title=plotly_text(studies[0].metric))
    figure.update_layout(hovermode="closest", showlegend=True)
    ends = {row["study"]: row["best so far"] for row in rows}
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=["Complete trials alone count; each with its best epoch."],
        alt="Best so far over epochs: " + ", ".join(f"{name} {shown_score(best)}" for name, best in ends.items()) + ".",
        top=44,
    )
