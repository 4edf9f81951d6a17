"""Cost against quality: the metric over device-seconds, trained parameters and latency, each with its Pareto front."""

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards.costs import latency_device, latency_ms, shown_ms, trained_parameters
from dashboards.frame import caption, frame, missing, why_no_value
from dashboards.outcomes import Outcome, is_better, ranked
from dashboards.palette import SECOND
from dashboards.text import counted, hover, plotly_text, shown, shown_score, shown_seconds
from search.records.study import StudyRecord, TrialRecord

TITLE = "Cost against quality"
# What a cheaper trial may lack to be worth a look.
MARGIN = 0.005
# Rows are read from as many trial folders.
MOST_TRIALS = 1000
SECONDS, PARAMETERS, LATENCY = "device seconds", "trained parameters", "latency, ms"
FRONTS = {SECONDS: "front by seconds", PARAMETERS: "front by parameters", LATENCY: "front by latency"}
WORDS: dict[str, Callable[[Any], str]] = {
    SECONDS: shown_seconds,
    PARAMETERS: lambda count: f"{count:,} parameters",
    LATENCY: lambda ms: f"{shown_ms(ms)} an image",
}


def cost_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per COMPLETE trial, the best first, at most a thousand: trial, value, device-seconds of its recorded
    epochs, trained parameters, milliseconds for one image (each None where not recorded), and whether it is on the
    front of each: no trial is both cheaper and as good.

    Latencies are those of the device on which most trials were measured, None for the others.
    """
    trials = ranked(study)[:MOST_TRIALS]
    device = latency_device(trials)
    rows: list[dict[str, Any]] = [
        {
            "trial": trial.number,
            "value": trial.value,
            SECONDS: trial.device_s,
            PARAMETERS: trained_parameters(trial),
            LATENCY: latency_ms(trial, device),
        }
        for trial in trials
    ]
    fronts = {cost: {row["trial"] for row in pareto_front(study, rows, cost)} for cost in FRONTS}
    return [row | {front: row["trial"] in fronts[cost] for cost, front in FRONTS.items()} for row in rows]


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
    use = _use_words(best, other)
    if near:
        return f"{start}; trial {other['trial']} lacks {lacks}, within the margin of {MARGIN}, for {part}{use}."
    return f"{start}; nothing cheaper is within {MARGIN} of it: trial {other['trial']} lacks {lacks}, for {part}{use}."


def _use_words(best: dict[str, Any], other: dict[str, Any]) -> str:
    """What the two take in use, where that is recorded."""
    if best[LATENCY] is None or other[LATENCY] is None:
        return ""
    return f"; an image takes {shown_ms(best[LATENCY])} with the best, {shown_ms(other[LATENCY])} with the other"


def draw_cost(study: StudyRecord) -> go.Figure:
    """Points over device-seconds, and over trained parameters and latency where trials differ in them; steps are the
    fronts.
    """
    rows = cost_table(study)
    complete = ranked(study)
    subtitle = caption(study, complete)
    if not rows:
        return missing(TITLE, subtitle, why_no_value(study))
    panels = [SECONDS] if any(row[SECONDS] is not None for row in rows) else []
    panels += [cost for cost in (PARAMETERS, LATENCY) if len({row[cost] for row in rows} - {None}) > 1]
    if not panels:
        where = complete[0].folder
        return missing(TITLE, subtitle, f"No device-seconds are here: expected epochs.jsonl in {where} and the like.")
    figure = make_subplots(rows=1, cols=len(panels), shared_yaxes=True, horizontal_spacing=0.06)
    for column, cost in enumerate(panels, start=1):
        front = FRONTS[cost]
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
                hovertext=[hover(study, row["trial"], row["value"], WORDS[cost](row[cost])) for row in some],
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
            *(_latency_notes(complete[:MOST_TRIALS], rows) if LATENCY in panels else []),
        ],
        alt=f"{study.metric} of {len(rows)} trials over cost. {worth_words(study, rows)}",
        top=44,
    )


def _latency_notes(trials: Sequence[TrialRecord], rows: list[dict[str, Any]]) -> list[str]:
    """What was measured on what, and how many were measured elsewhere."""
    measured = sum("latency_device" in trial.attrs for trial in trials)
    elsewhere = measured - sum(row[LATENCY] is not None for row in rows)
    note = f"Latency: one image at a time on {latency_device(trials)}, while other trials may have run there."
    return [note, *([f"Measured on another device and left out: {counted(elsewhere, 'trial')}."] if elsewhere else [])]
