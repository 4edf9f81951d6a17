"""Slices: the metric over one searched parameter at a time."""

from typing import Any

import plotly.graph_objects as go

from dashboards.frame import caption, frame, missing
from dashboards.outcomes import Outcome, outcome
from dashboards.parameters import ParameterAxis, parameter_axes
from dashboards.text import hover, plotly_text, shown
from dashboards.thinning import spread_by_rank, thinned_words
from search.records.study import StudyRecord, TrialRecord

# Points of one choice are spread over this part of its room, in the order they were asked.
SPREAD = 0.36
MARGIN = 0.05
# A page has a panel of each parameter.
MOST_TRIALS = 1000


def slice_table(study: StudyRecord, parameter: str) -> list[dict[str, Any]]:
    """One dict per trial that has both the parameter and a value: trial, state, the parameter's value, the metric's."""
    return [
        {
            "trial": trial.number,
            "state": outcome(trial).value.label,
            parameter: trial.params[parameter],
            "value": trial.value,
        }
        for trial in _drawn(study, parameter)
    ]


def draw_slice(study: StudyRecord, parameter: str, *, legend: bool = True) -> go.Figure:
    """Points by the way the trial ended, over the parameter's own axis: logarithmic, linear, or its choices."""
    drawn = _drawn(study, parameter)
    trials = spread_by_rank(drawn, lambda trial: trial.value or 0.0, MOST_TRIALS)
    subtitle = caption(study, trials)
    if not trials:
        return missing(parameter, subtitle, "No trial with a value has this parameter.")
    axis = parameter_axes(study)[parameter]
    figure = go.Figure()
    for one in Outcome:
        chosen = [(index, trial) for index, trial in enumerate(trials) if outcome(trial) is one]
        if chosen:
            figure.add_scatter(
                x=[_place(axis, trial.params[parameter], index, len(trials)) for index, trial in chosen],
                y=[trial.value for _, trial in chosen],
                mode="markers",
                marker=one.value.marker(8),
                name=one.value.label,
                hoverinfo="text",
                hovertext=[
                    hover(
                        study, trial.number, trial.value, one.value.label, f"{parameter} = {_shown(trial, parameter)}"
                    )
                    for _, trial in chosen
                ],
            )
    _draw_axis(figure, axis)
    figure.update_yaxes(title=plotly_text(study.metric), nticks=6, range=_value_range(study))
    figure.update_layout(hovermode="closest", showlegend=legend)
    without = sum(trial.value is not None and parameter not in trial.params for trial in study.trials)
    return frame(
        figure,
        title=parameter,
        subtitle=subtitle,
        notes=[
            *([f"Not active in {without} further trials."] if without else []),
            *thinned_words(len(trials), len(drawn)),
        ],
        alt=f"{study.metric} of {len(trials)} trials over {parameter}.",
        height=270,
        top=36 if legend else 10,
    )


def _drawn(study: StudyRecord, parameter: str) -> list[TrialRecord]:
    return [trial for trial in study.trials if trial.value is not None and parameter in trial.params]


def _place(axis: ParameterAxis, value: Any, index: int, count: int) -> float:
    spread = SPREAD * ((index + 0.5) / count - 0.5) if axis.choices else 0.0
    return axis.position(value) + spread


def _value_range(study: StudyRecord) -> tuple[float, float]:
    """The same for every parameter, so that panels compare."""
    values = [trial.value for trial in study.trials if trial.value is not None]
    room = MARGIN * (max(values) - min(values)) or MARGIN
    return min(values) - room, max(values) + room


def _shown(trial: TrialRecord, parameter: str) -> str:
    return shown(trial.params[parameter])


def _draw_axis(figure: go.Figure, axis: ParameterAxis) -> None:
    # Positions are log10 where the axis is logarithmic: then all three kinds share their ticks.
    ticks = axis.ticks()
    start, end = axis.limits
    room = 0.5 if axis.choices else MARGIN * (end - start) or 0.5
    figure.update_xaxes(
        tickvals=[position for position, _ in ticks],
        ticktext=[plotly_text(label) for _, label in ticks],
        range=[start - room, end + room],
        showgrid=not axis.choices,
        title="logarithmic" if axis.log else None,
    )
