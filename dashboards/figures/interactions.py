"""Interactions: what two parameters explain together of the metric's variance, beyond what each explains alone."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboards.evaluators import TREES
from dashboards.figures.importance import ENOUGH_TRIALS, compared_trials
from dashboards.figures.importance_methods import INTERVAL, MOST_TRIALS
from dashboards.frame import caption, frame, missing
from dashboards.palette import INK, RAMP, SURFACE
from dashboards.parameters import parameter_axes
from dashboards.second_order import SHUFFLES, second_order
from dashboards.text import broken_path, counted, plotly_text
from dashboards.thinning import spread_by_rank, thinned_words
from search.records.study import StudyRecord, TrialRecord

TITLE = "Interactions"
MOST_PARAMETERS = 10
# Of 24 simulated products of two parameters, with noise, one was told from chance in 20 trials, 20 in 50.
SURE_TRIALS = 50
# The darkest colour is the strongest pair's, or this share's, so that a few percent stay pale.
DARKEST = 0.2


def interactions_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per pair of parameters, the strongest first: the share of the variance that both explain together beyond
    what each does alone, its 5th and 95th percentile over trees, what each explains alone, the largest share of any
    pair in values without interactions, trials, epoch.
    """
    epoch, trials = _trials(study)
    if epoch is None or len(trials) < ENOUGH_TRIALS:
        return []
    axes = [axis for axis in parameter_axes(study).values() if all(axis.path in trial.params for trial in trials)]
    found = second_order(trials, [trial.values[epoch] for trial in trials], axes, trees=TREES, seed=0)
    if found is None:
        return []
    shares = found.shares
    low, high = np.quantile(found.by_tree, INTERVAL, axis=0)
    rows = [
        {
            "parameter": path,
            "and": found.paths[other],
            "together": float(shares[one, other]),
            "5 %": float(low[one, other]),
            "95 %": float(high[one, other]),
            "the first alone": float(shares[one, one]),
            "the second alone": float(shares[other, other]),
            "without interactions": found.additive,
            "trials": len(trials),
            "epoch": epoch,
        }
        for one, path in enumerate(found.paths)
        for other in range(one + 1, len(found.paths))
    ]
    return sorted(rows, key=lambda row: -row["together"])


def draw_interactions(study: StudyRecord) -> go.Figure:
    """A triangle of pairs, on its diagonal the parameters with what each explains alone, the most important on top."""
    rows = interactions_table(study)
    epoch, trials = _trials(study)
    if not rows:
        return missing(TITLE, caption(study, trials), _why_missing(trials))
    alone = _alone(rows)
    total = {path: share + sum(row["together"] for row in rows if path in _pair(row)) for path, share in alone.items()}
    paths = sorted(alone, key=lambda path: -total[path])[:MOST_PARAMETERS]
    drawn = [row for row in rows if set(_pair(row)) <= set(paths)]
    places = [sorted(map(paths.index, _pair(row))) for row in drawn]
    figure = go.Figure(
        go.Heatmap(
            x=[column for column, _ in places],
            y=[line for _, line in places],
            z=[row["together"] for row in drawn],
            text=[f"<b>{row['together']:.0%}</b>" if _beyond(row) else f"{row['together']:.0%}" for row in drawn],
            texttemplate="%{text}",
            hoverinfo="text",
            hovertext=[_hover(row) for row in drawn],
            colorscale=[[0.0, SURFACE], *([(1 + index) / len(RAMP), one] for index, one in enumerate(RAMP))],
            zmin=0.0,
            zmax=max(DARKEST, rows[0]["together"]),
            xgap=2,
            ygap=2,
            showscale=False,
        )
    )
    for place, path in enumerate(paths):
        figure.add_annotation(
            x=place - 0.45,
            y=place,
            text=f"{broken_path(path, width=16)} · {alone[path]:.0%}",
            align="left",
            xanchor="left",
            font={"color": INK},
        )
    # The last name begins in the last column.
    figure.update_xaxes(visible=False, range=[-0.5, len(paths) + 0.5])
    figure.update_yaxes(
        tickvals=list(range(len(paths))),
        ticktext=[broken_path(path, width=24) for path in paths],
        showgrid=False,
        range=[len(paths) - 0.5, -0.5],
    )
    ended = compared_trials(study)[1]
    return frame(
        figure,
        title=TITLE,
        subtitle=f"{caption(study, trials)} at epoch {epoch}",
        notes=[*_notes(study, rows), *_left_out(study, alone, paths), *thinned_words(len(trials), len(ended))],
        alt=f"Interactions of {len(paths)} parameters. {_strongest(rows)}",
        height=20 + 44 * len(paths),
        min_width=54 * len(paths) + 240,
    )


def _trials(study: StudyRecord) -> tuple[int | None, list[TrialRecord]]:
    """The common epoch and the trials of the importance by three methods."""
    epoch, ended = compared_trials(study)
    if epoch is None:
        return None, []
    return epoch, spread_by_rank(ended, lambda trial: trial.values[epoch], MOST_TRIALS)


def _pair(row: dict[str, Any]) -> tuple[str, str]:
    return row["parameter"], row["and"]


def _alone(rows: list[dict[str, Any]]) -> dict[str, float]:
    first = {row["parameter"]: row["the first alone"] for row in rows}
    return first | {row["and"]: row["the second alone"] for row in rows}


def _beyond(row: dict[str, Any]) -> bool:
    """Whether a forest finds no such interaction where there is none."""
    return bool(row["together"] > row["without interactions"])


def _strongest(rows: list[dict[str, Any]]) -> str:
    first = rows[0]
    pair = f"{first['parameter']} with {first['and']}"
    if _beyond(first):
        return f"Strongest: {pair}, {first['together']:.0%} beyond what each explains alone."
    return (
        f"Nothing beyond single parameters is visible: the strongest pair, {pair}, has {first['together']:.0%}, "
        f"not above {first['without interactions']:.0%}."
    )


def _notes(study: StudyRecord, rows: list[dict[str, Any]]) -> list[str]:
    bound, trials = rows[0]["without interactions"], rows[0]["trials"]
    alone, together = sum(_alone(rows).values()), sum(row["together"] for row in rows)
    above = f"{sum(map(_beyond, rows))} of {counted(len(rows), 'pair')}"
    notes = [
        _strongest(rows),
        f"fANOVA of second order: of a forest's variance, single parameters (beside their names) explain {alone:.0%}, "
        f"pairs beyond that {together:.0%}, three or more at a time the rest.",
        f"{bound:.0%} is the most of any pair in {SHUFFLES} forests on the same trials with the effects of single "
        f"parameters and the rest shuffled; above it (bold): {above}.",
    ]
    if trials < SURE_TRIALS:
        notes.append(f"Warning: {trials} trials are few; under {SURE_TRIALS} a forest misses most interactions.")
    axes = parameter_axes(study)
    if any(axes[path].choices for path in _alone(rows)):
        notes.append("Only choices that exist count; Optuna's fANOVA also counts mixtures of them, with other shares.")
    return notes


def _left_out(study: StudyRecord, alone: dict[str, float], drawn: list[str]) -> list[str]:
    conditional = [path for path in parameter_axes(study) if path not in alone]
    words = [f"Not in every trial, or with one value only: {', '.join(conditional)}."] if conditional else []
    if len(drawn) < len(alone):
        words.append(f"The {len(drawn)} of {len(alone)} parameters that explain most; all pairs are in the table.")
    return words


def _hover(row: dict[str, Any]) -> str:
    return (
        f"<b>{plotly_text(row['parameter'])}</b> with <b>{plotly_text(row['and'])}</b><br>"
        f"together {row['together']:.0%} (trees: {row['5 %']:.0%} to {row['95 %']:.0%})<br>"
        f"alone {row['the first alone']:.0%} and {row['the second alone']:.0%}<br>"
        f"{row['trials']} trials at epoch {row['epoch']}"
    )


def _why_missing(trials: list[TrialRecord]) -> str:
    if len(trials) < ENOUGH_TRIALS:
        return f"{len(trials)} ended trials with a value: {ENOUGH_TRIALS} at least are needed."
    return "It takes two parameters that every trial has, and values that differ."
