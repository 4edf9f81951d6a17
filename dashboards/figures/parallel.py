"""Parallel coordinates: every trial a line over the searched parameters and the metric."""

from typing import Any

import plotly.graph_objects as go

from dashboards.frame import caption, frame, missing, why_no_value
from dashboards.outcomes import best_trial, outcome
from dashboards.palette import INK, MUTED, SURFACE, ramp_colour
from dashboards.parameters import ParameterAxis, parameter_axes
from dashboards.text import broken_path, hover, plotly_text, shown, shown_score
from dashboards.thinning import spread_by_rank, thinned_words
from search.records.study import StudyRecord, TrialRecord

TITLE = "Parallel coordinates"
# Where a parameter that a trial does not have is drawn: below every value it could have.
INACTIVE = -0.13
AXIS_PX = 92
# More lines hide each other, and a browser needs seconds to draw them.
MOST_TRIALS = 400


def parallel_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per COMPLETE or PRUNED trial with a value: trial, state, each parameter (None: not active), value."""
    axes = parameter_axes(study)
    return [
        {
            "trial": trial.number,
            "state": outcome(trial).value.label,
            **{path: trial.params.get(path) for path in axes},
            "value": trial.value,
        }
        for trial in _drawn(study)
    ]


def draw_parallel(study: StudyRecord) -> go.Figure:
    """Lines coloured by rank, pruned ones dashed, the best one thick."""
    drawn = _drawn(study)
    trials = spread_by_rank(drawn, lambda trial: trial.value or 0.0, MOST_TRIALS)
    subtitle = caption(study, trials)
    axes = list(parameter_axes(study).values())
    if not trials or not axes:
        return missing(TITLE, subtitle, "No parameter was searched." if trials else why_no_value(study))
    values = [trial.value for trial in trials if trial.value is not None]
    metric = ParameterAxis(study.metric, min(values), max(values))
    best = best_trial(study)
    figure = go.Figure()
    for (colour, dash), group in _groups(study, trials).items():
        _add_lines(figure, study, group, axes, metric, {"color": colour, "width": 1.5, "dash": dash})
    if best is not None:
        _add_lines(figure, study, [best], axes, metric, {"color": INK, "width": 3.2, "dash": "solid"})
    for label, dash in (("complete", "solid"), ("pruned", "dot")):
        figure.add_scatter(x=[None], y=[None], mode="lines", line={"color": MUTED, "dash": dash}, name=label)
    if best is not None:
        figure.add_scatter(
            x=[None], y=[None], mode="lines", line={"color": INK, "width": 3}, name=f"best: trial {best.number}"
        )
    inactive = {axis.path for axis in axes if any(axis.path not in trial.params for trial in trials)}
    _draw_axes(figure, [*axes, metric], inactive)
    figure.update_layout(hovermode="closest", showlegend=True, legend={"y": -0.02, "yanchor": "top"})
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=["The stronger a line stands out, the better the trial.", *thinned_words(len(trials), len(drawn))],
        alt=f"{len(trials)} trials over {len(axes)} parameters and {study.metric}, "
        f"which runs from {shown_score(metric.low)} to {shown_score(metric.high)}.",
        height=430,
        top=64,
        min_width=AXIS_PX * (len(axes) + 1) + 40,
    )


def _drawn(study: StudyRecord) -> list[TrialRecord]:
    return [trial for trial in study.trials if trial.state in ("COMPLETE", "PRUNED") and trial.value is not None]


def _groups(study: StudyRecord, trials: list[TrialRecord]) -> dict[tuple[str, str], list[TrialRecord]]:
    """Trials by the colour of their rank and by dash, worst first, so that the best are drawn over the others."""
    sign = 1.0 if study.maximize else -1.0
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for place, trial in enumerate(sorted(trials, key=lambda trial: sign * (trial.value or 0.0)), start=1):
        look = ramp_colour(place / len(trials)), "solid" if trial.state == "COMPLETE" else "dot"
        groups.setdefault(look, []).append(trial)
    return groups


def _add_lines(
    figure: go.Figure,
    study: StudyRecord,
    trials: list[TrialRecord],
    axes: list[ParameterAxis],
    metric: ParameterAxis,
    line: dict[str, Any],
) -> None:
    """Lines of one look as one trace with gaps: a trace for each of a thousand trials would be slow to draw."""
    places: list[int | None] = []
    heights: list[float | None] = []
    text: list[str] = []
    for trial in trials:
        places += [*range(len(axes) + 1), None]
        heights += [axis.share(trial.params[axis.path]) if axis.path in trial.params else INACTIVE for axis in axes]
        heights += [metric.share(trial.value), None]
        text += [
            hover(study, trial.number, trial.value, f"{axis.path} = {shown(trial.params.get(axis.path, 'not active'))}")
            for axis in axes
        ]
        text += [hover(study, trial.number, trial.value, outcome(trial).value.label), ""]
    figure.add_scatter(
        x=places, y=heights, mode="lines+markers", connectgaps=False, line=line, marker={"size": 4},
        showlegend=False, hoverinfo="text", hovertext=text,
    )  # fmt: skip


def _draw_axes(figure: go.Figure, axes: list[ParameterAxis], inactive: set[str]) -> None:
    for index, axis in enumerate(axes):
        figure.add_shape(type="line", x0=index, x1=index, y0=0, y1=1, line={"color": MUTED, "width": 1}, layer="below")
        start, end = axis.limits
        ticks = [(0.5 if start == end else (place - start) / (end - start), label) for place, label in axis.ticks()]
        if axis.path in inactive:
            ticks.append((INACTIVE, "not active"))
        # The last axis has no lines to its right.
        side = {"xanchor": "left", "xshift": 5} if index == len(axes) - 1 else {"xanchor": "right", "xshift": -5}
        for share, label in ticks:
            figure.add_annotation(
                x=index, y=share, text=plotly_text(label), font={"size": 11}, bgcolor=SURFACE, opacity=0.85,
                borderpad=0, **side,
            )  # fmt: skip
    figure.update_xaxes(
        side="top",
        tickvals=list(range(len(axes))),
        ticktext=[broken_path(axis.path) for axis in axes],
        showgrid=False,
        range=[-0.75, len(axes) - 0.5],
        tickangle=0,
        tickfont={"size": 11},
    )
    figure.update_yaxes(visible=False, range=[INACTIVE - 0.05 if inactive else -0.04, 1.05])
