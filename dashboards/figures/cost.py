"""Cost against quality: the metric over device-seconds and over trained parameters, with the Pareto front of each."""

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards.frame import caption, frame, missing, why_no_value
from dashboards.outcomes import Outcome, is_better, ranked
from dashboards.palette import SECOND
from dashboards.text import hover, plotly_text, shown, shown_score, shown_seconds
from search.records.study import StudyRecord, TrialRecord

TITLE = "Cost against quality"
# What a cheaper trial may lack to be worth a look.
MARGIN = 0.005
# Rows are read from as many trial folders.
MOST_TRIALS = 1000
SECONDS, PARAMETERS = "device seconds", "trained parameters"


def cost_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per COMPLETE trial, the best first, at most a thousand: trial, value, device-seconds of its recorded
    epochs, trained parameters (None where not recorded), and whether it is on the front of either: no trial is both
    cheaper and as good.
    """
    rows: list[dict[str, Any]] = [
        {"trial": trial.number, "value": trial.value, SECONDS: _seconds(trial), PARAMETERS: _parameters(trial)}
        for trial in ranked(study)[:MOST_TRIALS]
    ]
    fronts = {cost: {row["trial"] for row in pareto_front(study, rows, cost)} for cost in (SECONDS, PARAMETERS)}
    return [
        {
            **row,
            "front by seconds": row["trial"] in fronts[SECONDS],
            "front by parameters": row["trial"] in fronts[PARAMETERS],
        }
        for row in rows
    ]


def pareto_front(study: StudyRecord, rows: list[dict[str, Any]], cost: str) -> list[dict[str, Any]]:
    """The rows than which none is cheaper and at least as good, from the cheapest on."""
    sign = -1.0 if study.maximize else 1.0
    front: list[dict[str, Any]] = []
    with_cost = [row for row in rows if row[cost] is not None]
    for row in sorted(with_cost, key=lambda row: (row[cost], sign * row["value"], row["trial"])):
        if not front or is_better(study, row["value"], front[-1]["value"]):
            front.append(row)
    return front


def worth_words(study: StudyRecord, rows: list[dict[str, Any]]) -> str:
    """Whether the best trial is worth its device-seconds, as a sentence; empty where no cost is recorded."""
    front = pareto_front(study, rows, SECONDS)
    if not front:
        return ""
    best = front[-1]
    start = f"Is it worth it? Trial {best['trial']} has {shown_score(best['value'])} for {shown_seconds(best[SECONDS])}"
    if len(front) == 1:
        return f"{start} of device time; no cheaper complete trial exists."
    near = [row for row in front[:-1] if abs(row["value"] - best["value"]) <= MARGIN]
    other = near[0] if near else front[-2]
    lacks = f"{abs(best['value'] - other['value']):.4f}"
    part = f"{other[SECONDS] / best[SECONDS]:.1%} of that"
    if near:
        return f"{start}; trial {other['trial']} lacks {lacks}, within the margin of {MARGIN}, for {part}."
    return f"{start}; nothing cheaper is within {MARGIN} of it: trial {other['trial']} lacks {lacks}, for {part}."


def draw_cost(study: StudyRecord) -> go.Figure:
    """Points over device-seconds, and over trained parameters where trials differ in them; steps are the fronts."""
    rows = cost_table(study)
    complete = ranked(study)
    subtitle = caption(study, complete)
    if not rows:
        return missing(TITLE, subtitle, why_no_value(study))
    panels: list[tuple[str, Callable[[Any], str], str]] = []
    if any(row[SECONDS] is not None for row in rows):
        panels.append((SECONDS, shown_seconds, "front by seconds"))
    if len({row[PARAMETERS] for row in rows if row[PARAMETERS] is not None}) > 1:
        panels.append((PARAMETERS, lambda count: f"{count:,} parameters", "front by parameters"))
    if not panels:
        where = complete[0].folder
        return missing(TITLE, subtitle, f"No device-seconds are here: expected epochs.jsonl in {where} and the like.")
    figure = make_subplots(rows=1, cols=len(panels), shared_yaxes=True, horizontal_spacing=0.06)
    for column, (cost, words, front) in enumerate(panels, start=1):
        with_cost = [row for row in rows if row[cost] is not None]
        steps = [row for row in reversed(with_cost) if row[front]]
        figure.add_scatter(
            x=[row[cost] for row in steps], y=[row["value"] for row in steps], mode="lines",
            line={"color": SECOND, "width": 1.5, "shape": "hv"}, name="Pareto front", hoverinfo="skip",
            showlegend=column == 1, row=1, col=column,
        )  # fmt: skip
        for on_front, name in ((False, "complete"), (True, "complete, on the front")):
            some = [row for row in with_cost if row[front] is on_front]
            mark = Outcome.COMPLETE.value.marker(11 if on_front else 7)
            figure.add_scatter(
                x=[row[cost] for row in some],
                y=[row["value"] for row in some],
                mode="markers",
                marker={**mark, "symbol": "diamond", "color": SECOND, "line": {"width": 0}} if on_front else mark,
                name=name,
                showlegend=column == 1,
                hoverinfo="text",
                hovertext=[hover(study, row["trial"], row["value"], words(row[cost])) for row in some],
                row=1,
                col=column,
            )
        figure.update_xaxes(title=cost, nticks=6, tickformat="~s", row=1, col=column)
    figure.update_yaxes(title=plotly_text(study.metric), row=1, col=1)
    figure.update_layout(hovermode="closest", showlegend=True)
    unknown = sum(row[SECONDS] is None for row in rows)
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=[
            *filter(None, [worth_words(study, rows)]),
            "A trial counts with its best epoch and the device time of all its recorded epochs.",
            *(
                [f"Of the {shown(len(complete))} complete trials the best {MOST_TRIALS}."]
                if len(complete) > MOST_TRIALS
                else []
            ),
            *([f"The device time of {unknown} trials is not here."] if unknown else []),
        ],
        alt=f"{study.metric} of {len(rows)} trials over cost. {worth_words(study, rows)}",
        top=44,
    )


def _seconds(trial: TrialRecord) -> float | None:
    return sum(row.device_s for row in trial.rows) if trial.rows else None


def _parameters(trial: TrialRecord) -> int | None:
    count = trial.attrs.get("trainable_parameters")
    return None if count is None else int(count)
