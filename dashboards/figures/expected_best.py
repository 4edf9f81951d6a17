"""Expected best value against the number of trials: what a smaller budget would have found, one study or several."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboards.frame import caption, frame, missing, whole_ticks
from dashboards.palette import SERIES
from dashboards.text import plotly_text, shown_score
from search.records.study import StudyRecord, TrialRecord

TITLE = "Expected best against budget"
MOST_POINTS = 200


def expected_best_table(*studies: StudyRecord) -> list[dict[str, Any]]:
    """One dict per study and number of trials n: the expected best of n trials drawn at random (with replacement) from
    the COMPLETE and PRUNED ones, and its standard deviation; budgets are thinned evenly to two hundred.

    With P the empirical distribution of values, E[best of n] = Σ v (P(V ≤ v)^n − P(V < v)^n): Dodge et al. 2019, "Show
    Your Work" (arXiv:1909.03004), equation 1. Pruned trials count with their last value.
    """
    return [
        {"study": study.name, "trials": n, "expected best": mean, "deviation": deviation}
        for study in studies
        for n, mean, deviation in _curve(study)
    ]


def draw_expected_best(*studies: StudyRecord) -> go.Figure:
    """A line per study, with a band of one standard deviation where there is one study."""
    drawn = [trial for study in studies for trial in _drawn(study)]
    subtitle = caption(studies[0], drawn)
    rows = expected_best_table(*studies)
    if not rows:
        return missing(TITLE, subtitle, "No trial has ended with a value yet.")
    figure = go.Figure()
    for index, study in enumerate(studies):
        own = [row for row in rows if row["study"] == study.name]
        if not own:
            continue
        colour, symbol = SERIES[index % len(SERIES)]
        x = [row["trials"] for row in own]
        y = [row["expected best"] for row in own]
        if len(studies) == 1:
            for sign in (1, -1):
                figure.add_scatter(
                    x=x,
                    y=[row["expected best"] + sign * row["deviation"] for row in own],
                    mode="lines",
                    line={"width": 1, "color": colour, "dash": "dot"},
                    name="± one standard deviation",
                    showlegend=sign == 1,
                    hoverinfo="skip",
                )
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers" if len(own) <= 40 else "lines",
            line={"color": colour, "width": 2},
            marker={"symbol": symbol, "size": 6},
            name=plotly_text(study.name) if len(studies) > 1 else "expected best",
            hoverinfo="text",
            hovertext=[
                f"<b>{plotly_text(study.name)}</b><br>{n} trials: {shown_score(best)}"
                for n, best in zip(x, y, strict=True)
            ],
        )
    figure.update_xaxes(title="trials", rangemode="tozero", **whole_ticks(max(row["trials"] for row in rows)))
    figure.update_yaxes(title=plotly_text(studies[0].metric))
    figure.update_layout(hovermode="closest", showlegend=True)
    last = rows[-1]
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=[
            "Expected best of n of these trials drawn at random (Dodge et al. 2019); a pruned one counts with its last "
            "value. It foretells random search; of another sampler it describes the trials made.",
        ],
        alt=f"Expected best {studies[0].metric} by number of trials; with {last['trials']} it is "
        f"{shown_score(last['expected best'])}.",
        top=44,
    )


def _drawn(study: StudyRecord) -> list[TrialRecord]:
    ended = ("COMPLETE", "PRUNED")
    return [trial for trial in study.trials if trial.state in ended and trial.value is not None and not trial.violated]


def _curve(study: StudyRecord) -> list[tuple[int, float, float]]:
    sign = 1.0 if study.maximize else -1.0
    values = np.sort([sign * trial.value for trial in _drawn(study) if trial.value is not None])
    count = len(values)
    budgets = sorted({math.ceil(place * count / MOST_POINTS) for place in range(1, MOST_POINTS + 1)})
    found = []
    for n in budgets if count else []:
        # Ties share their probability among them, which leaves the sum as it is.
        below = (np.arange(count + 1) / count) ** n
        weights = np.diff(below)
        mean = float(values @ weights)
        variance = max(0.0, float(values**2 @ weights) - mean**2)
        found.append((n, sign * mean, math.sqrt(variance)))
    return found
