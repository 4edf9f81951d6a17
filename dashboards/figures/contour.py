"""Two parameters at a time: the mean of the metric over the plane that they span, and the trials in it."""

import math
import statistics
from collections import defaultdict
from typing import Any

import plotly.graph_objects as go

from dashboards.figures.importance import compared_trials, importance_of
from dashboards.frame import caption, frame, missing
from dashboards.outcomes import Outcome, outcome
from dashboards.palette import INK, RAMP
from dashboards.parameters import ParameterAxis, parameter_axes
from dashboards.text import hover, plotly_text, shown, shown_score
from dashboards.thinning import spread_by_rank, thinned_words
from search.records.study import StudyRecord, TrialRecord

TITLE = "Two parameters at a time"
# Cells along an axis of numbers; choices have one each.
CELLS = 6
MOST_TRIALS = 1000
# The trials' marks must stand out from every cell, in both themes.
SCALE = RAMP[:4]


def contour_table(study: StudyRecord, x: str | None = None, y: str | None = None) -> list[dict[str, Any]]:
    """One dict per trial that has both parameters and a value at the importance figure's common epoch: trial, state,
    both parameters, value; by default of the two most important parameters. Empty where there are no two.
    """
    paths = _paths(study, x, y)
    epoch, trials = compared_trials(study)
    if paths is None or epoch is None:
        return []
    return [
        {
            "trial": trial.number,
            "state": outcome(trial).value.label,
            **{path: trial.params[path] for path in paths},
            "value": trial.values[epoch],
        }
        for trial in trials
        if all(path in trial.params for path in paths)
    ]


def draw_contour(study: StudyRecord, x: str | None = None, y: str | None = None) -> go.Figure:
    """Cells coloured by the mean of their trials, empty where no trial was made; over them the trials."""
    paths = _paths(study, x, y)
    epoch, trials = compared_trials(study)
    rows = contour_table(study, x, y)
    if paths is None or epoch is None or not rows:
        why = "It takes two parameters that make a difference, and trials that have both."
        return missing(TITLE, caption(study, trials), why)
    axes = parameter_axes(study)
    x_axis, y_axis = axes[paths[0]], axes[paths[1]]
    numbers = {row["trial"] for row in rows}
    compared = [trial for trial in trials if trial.number in numbers]
    means = _cell_means(rows, x_axis, y_axis)
    figure = go.Figure(
        go.Heatmap(
            x=_centres(x_axis),
            y=_centres(y_axis),
            z=[[means.get((column, line)) for column in range(_count(x_axis))] for line in range(_count(y_axis))],
            colorscale=[[index / (len(SCALE) - 1), one] for index, one in enumerate(_scale(study))],
            colorbar={"title": {"text": "mean"}, "thickness": 12},
            xgap=1,
            ygap=1,
            hoverinfo="skip",
        )
    )
    drawn = spread_by_rank(compared, lambda trial: trial.values[epoch], MOST_TRIALS)
    for one in Outcome:
        own = [trial for trial in drawn if outcome(trial) is one]
        if own:
            figure.add_scatter(
                x=[_place(x_axis, trial) for trial in own],
                y=[_place(y_axis, trial) for trial in own],
                mode="markers",
                marker={**one.value.marker(8), "color": INK, "line": {"width": 1.5, "color": INK}},
                name=one.value.label,
                hoverinfo="text",
                hovertext=[_hover(study, trial, epoch, paths) for trial in own],
            )
    for axis, update in ((x_axis, figure.update_xaxes), (y_axis, figure.update_yaxes)):
        ticks = axis.ticks()
        update(
            tickvals=[position for position, _ in ticks],
            ticktext=[plotly_text(label) for _, label in ticks],
            title=plotly_text(axis.path) + (" (logarithmic)" if axis.log else ""),
            showgrid=False,
        )
    figure.update_layout(hovermode="closest", showlegend=True)
    (column, line), best = (max if study.maximize else min)(means.items(), key=lambda item: item[1])
    where = f"{paths[0]} {_cell_words(x_axis, column)} and {paths[1]} {_cell_words(y_axis, line)}"
    return frame(
        figure,
        title=TITLE,
        subtitle=f"{caption(study, compared)} at epoch {epoch}",
        notes=[
            f"Best cell by its mean: {where} ({shown_score(best)}).",
            "Nothing is interpolated: empty cells have no trial.",
            *thinned_words(len(drawn), len(compared)),
        ],
        alt=f"{study.metric} of {len(rows)} trials over {paths[0]} and {paths[1]}; best at {where}.",
        height=420,
        top=44,
    )


def _paths(study: StudyRecord, x: str | None, y: str | None) -> tuple[str, str] | None:
    """Both parameters, the one that is not given being the most important other."""
    known = parameter_axes(study)
    given = [path for path in (x, y) if path is not None]
    if not all(path in known for path in given):
        return None
    others = iter([path for path in importance_of(study).shares if path not in given])
    first, second = (path if path is not None else next(others, None) for path in (x, y))
    return None if first is None or second is None else (first, second)


def _scale(study: StudyRecord) -> tuple[str, ...]:
    return SCALE if study.maximize else SCALE[::-1]


def _count(axis: ParameterAxis) -> int:
    return len(axis.choices) or CELLS


def _centres(axis: ParameterAxis) -> list[float]:
    start, end = axis.limits
    if axis.choices or start == end:
        return [start + index for index in range(_count(axis))]
    return [start + (index + 0.5) * (end - start) / CELLS for index in range(CELLS)]


def _cell(axis: ParameterAxis, value: Any) -> int:
    if axis.choices:
        return int(axis.position(value))
    start, end = axis.limits
    return 0 if start == end else min(max(math.floor(axis.share(value) * CELLS), 0), CELLS - 1)


def _cell_means(
    rows: list[dict[str, Any]], x_axis: ParameterAxis, y_axis: ParameterAxis
) -> dict[tuple[int, int], float]:
    values: dict[tuple[int, int], list[float]] = defaultdict(list)
    for row in rows:
        values[_cell(x_axis, row[x_axis.path]), _cell(y_axis, row[y_axis.path])].append(row["value"])
    return {cell: statistics.fmean(some) for cell, some in values.items()}


def _cell_words(axis: ParameterAxis, index: int) -> str:
    """A choice, or the range of numbers that a cell spans."""
    if axis.choices:
        return shown(axis.choices[index][1])
    start, end = axis.limits
    ends = [start + place * (end - start) / CELLS for place in (index, index + 1)]
    return " to ".join(shown(10.0**one if axis.log else float(one)) for one in ends)


def _place(axis: ParameterAxis, trial: TrialRecord) -> float:
    """The position; trials of one choice are spread by their number, so that they do not hide each other."""
    spread = 0.5 * ((trial.number * 0.618034) % 1.0 - 0.5) if axis.choices else 0.0
    return axis.position(trial.params[axis.path]) + spread


def _hover(study: StudyRecord, trial: TrialRecord, epoch: int, paths: tuple[str, str]) -> str:
    words = [f"{path} = {shown(trial.params[path])}" for path in paths]
    return hover(study, trial.number, trial.values[epoch], f"epoch {epoch}", *words)
