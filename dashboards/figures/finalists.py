"""The finalists of a promotion: their means over other seeds with intervals, beside what each had in the search."""

from typing import Any

import plotly.graph_objects as go

from dashboards.costs import latency_device, latency_ms, shown_count, shown_ms, trained_parameters
from dashboards.frame import frame, missing
from dashboards.palette import ACCENT, SECOND
from dashboards.text import counted, plotly_text, shown_score, shown_seconds
from search.records.study import StudyRecord

TITLE = "Finalists over other seeds"


def finalists_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per finalist that was not left out, the highest mean first: trial, value in the search, mean and
    standard deviation over other seeds, ends of the mean's 95 % interval, the mean device-seconds of a run, trained
    parameters and milliseconds for one image (each None where not recorded), whether it was promoted.
    """
    choice = _choice(study)
    if choice is None:
        return []
    trials = {trial.number: trial for trial in study.trials}
    device = latency_device([trials[one["trial"]] for one in choice["finalists"]])
    rows = [
        {
            "trial": one["trial"],
            "in the search": one["value"],
            "mean of seeds": one["mean"],
            "SD": one["sd"],
            "95 % from": one["interval"][0],
            "95 % to": one["interval"][1],
            "device seconds": one.get("device_s"),
            "parameters": trained_parameters(trials[one["trial"]]),
            "latency, ms": latency_ms(trials[one["trial"]], device),
            "promoted": one["trial"] == choice["winner"],
        }
        for one in choice["finalists"]
        if one.get("interval")
    ]
    return sorted(rows, key=lambda row: -row["mean of seeds"])


def draw_finalists(study: StudyRecord) -> go.Figure:
    """A lane per finalist, the highest mean on top: mean with interval, and the value of the search as an open mark."""
    choice = _choice(study)
    rows = finalists_table(study)[::-1]
    if choice is None or not rows:
        why = "No finalists were trained again with other seeds: the promotion compared none, or has not been made."
        return missing(TITLE, study.metric, why)
    lanes = list(range(len(rows)))
    figure = go.Figure()
    figure.add_scatter(
        x=[row["mean of seeds"] for row in rows],
        y=lanes,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [row["95 % to"] - row["mean of seeds"] for row in rows],
            "arrayminus": [row["mean of seeds"] - row["95 % from"] for row in rows],
            "color": ACCENT,
            "thickness": 2,
        },
        mode="markers",
        marker={"color": ACCENT, "symbol": "circle", "size": 11},
        name="mean of other seeds, 95 % interval",
        hoverinfo="text",
        hovertext=[
            f"<b>trial {row['trial']}</b><br>{shown_score(row['mean of seeds'])} ({shown_score(row['95 % from'])} to "
            f"{shown_score(row['95 % to'])})"
            for row in rows
        ],
    )
    figure.add_scatter(
        x=[row["in the search"] for row in rows],
        y=lanes,
        mode="markers",
        marker={"color": SECOND, "symbol": "diamond-open", "size": 10, "line": {"width": 2, "color": SECOND}},
        name="value in the search",
        hoverinfo="text",
        hovertext=[f"<b>trial {row['trial']}</b> in the search: {shown_score(row['in the search'])}" for row in rows],
    )
    figure.update_xaxes(title=plotly_text(study.metric), nticks=7)
    figure.update_yaxes(
        tickvals=lanes,
        ticktext=[
            f"trial {row['trial']}" + (" (promoted)" if row["promoted"] else "") + f"<br>{_cost_words(row)}"
            for row in rows
        ],
        range=[-0.6, len(rows) - 0.4],
    )
    figure.update_layout(hovermode="closest", showlegend=True)
    seeds = counted(choice["seeds"], "other seed")
    left_out = [str(one["trial"]) for one in choice["finalists"] if not one.get("interval")]
    return frame(
        figure,
        title=TITLE,
        subtitle=f"{counted(len(rows), 'finalist')}, {seeds} each, a {choice['kind']} · {study.metric} · "
        f"{choice.get('split', 'validation')} ({choice['images']} images) · {choice['resampling']}",
        notes=[
            *_optimism(choice),
            f"Seeds alone spread by {choice['seed_sd']:.4f}.",
            *([f"Left out: trials {', '.join(left_out)}."] if left_out else []),
            "Under each finalist: device time of a run, trained parameters, and latency of one image, where recorded.",
        ],
        alt=f"Means of {len(rows)} finalists over {seeds}; trial {choice['winner']} was promoted.",
        height=110 + 48 * len(rows),
        top=44,
    )


def _cost_words(row: dict[str, Any]) -> str:
    """What is recorded of a finalist's cost, in small print."""
    words = [
        shown(row[column])
        for column, shown in (("device seconds", shown_seconds), ("parameters", shown_count), ("latency, ms", shown_ms))
        if row[column] is not None
    ]
    return f"<span style='font-size:11px'>{' · '.join(words)}</span>"


def _optimism(choice: dict[str, Any]) -> list[str]:
    """None where the replicates were measured on other images than the search."""
    if choice["optimism"] is None:
        return []
    return [f"The best single value of the search less its own mean over other seeds: {choice['optimism']:+.4f}."]


def _choice(study: StudyRecord) -> dict[str, Any] | None:
    choice: dict[str, Any] | None = study.facts.get("promotion", {}).get("choice")
    return choice
