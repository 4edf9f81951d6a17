"""Importance by three methods side by side, each with its spread over resamples, and what unpruned trials say."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboards.evaluators import TREES, fanova, mean_decrease_impurity, ped_anova
from dashboards.figures.importance import (
    ENOUGH_TRIALS,
    FEWEST_TRIALS,
    compared_trials,
    importance_of,
    normalised,
    top_share,
)
from dashboards.frame import caption, frame, missing
from dashboards.palette import COMPLETE, DIVERGED, FAILED, PRUNED, RUNNING
from dashboards.parameters import ParameterAxis, parameter_axes
from dashboards.text import broken_path, plotly_text
from dashboards.thinning import spread_by_rank, thinned_words
from search.records.study import StudyRecord, TrialRecord

TITLE = "Importance by three methods"
# Optuna's fANOVA takes 2 s for 100 trials and 100 s for 1,000.
MOST_TRIALS = 100
RESAMPLES = 40
INTERVAL = (0.05, 0.95)


@dataclass(frozen=True)
class Method:
    """Shares by parameter (they sum to 1), their 5th and 95th percentile over resamples, and of what trials at what
    epoch; `explained` is the part of the forest's variance that single parameters explain, where the method has one.
    """

    name: str
    epoch: int
    trials: tuple[TrialRecord, ...]
    shares: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    explained: float | None = None


def importance_methods(study: StudyRecord) -> list[Method]:
    """PED-ANOVA, fANOVA and mean decrease impurity on the importance figure's trials, then PED-ANOVA without the
    pruned ones and on the unpruned tenth alone; those that have fewer than ten trials are left out.
    """
    epoch, trials = compared_trials(study)
    if epoch is None or len(trials) < FEWEST_TRIALS:
        return []
    chosen = _thinned(epoch, trials)
    axes = [axis for axis in parameter_axes(study).values() if all(axis.path in trial.params for trial in chosen)]
    methods = [_by_ped_anova("PED-ANOVA", study, epoch, chosen)]
    if axes:
        methods += [
            _by_forest("fANOVA", fanova, epoch, chosen, axes),
            _by_forest("mean decrease impurity", mean_decrease_impurity, epoch, chosen, axes),
        ]
    for name, some in (
        ("PED-ANOVA without pruned", [trial for trial in study.trials if trial.state == "COMPLETE"]),
        ("PED-ANOVA, unpruned tenth", [trial for trial in study.trials if trial.audit]),
    ):
        at, reached = compared_trials(replace(study, trials=tuple(some)))
        if at is not None and len(reached) >= ENOUGH_TRIALS and _numbers(reached) != _numbers(trials):
            methods.append(_by_ped_anova(name, study, at, _thinned(at, reached)))
    return [method for method in methods if method.shares]


def importance_methods_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per method and parameter: its share, the 5th and 95th percentile over resamples, trials, epoch."""
    return _rows(importance_methods(study))


def draw_importance_methods(study: StudyRecord) -> go.Figure:
    """Points with whiskers by parameter, the most important by PED-ANOVA on top."""
    methods = importance_methods(study)
    ended = compared_trials(study)[1]
    if not methods:
        return missing(
            TITLE,
            caption(study, ended),
            f"{len(ended)} ended trials with a value: {FEWEST_TRIALS} at least are needed.",
        )
    first = methods[0]
    paths = list(dict.fromkeys(path for method in methods for path in method.shares))[::-1]
    figure = go.Figure()
    for place, (method, (colour, symbol)) in enumerate(zip(methods, _looks(methods), strict=True)):
        offset = 0.15 * ((len(methods) - 1) / 2 - place)
        figure.add_scatter(
            x=list(method.shares.values()),
            y=[paths.index(path) + offset for path in method.shares],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [max(0.0, method.high[path] - share) for path, share in method.shares.items()],
                "arrayminus": [max(0.0, share - method.low[path]) for path, share in method.shares.items()],
                "color": colour,
                "thickness": 1.4,
                "width": 3,
            },
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 9, "line": {"width": 2, "color": colour}},
            name=method.name,
            hoverinfo="text",
            hovertext=[
                f"<b>{plotly_text(path)}</b><br>{method.name} {share:.0%} ({method.low[path]:.0%} to "
                f"{method.high[path]:.0%})<br>{len(method.trials)} trials at epoch {method.epoch}"
                for path, share in method.shares.items()
            ],
        )
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", title="share of importance")
    figure.update_yaxes(
        tickvals=list(range(len(paths))),
        ticktext=[broken_path(path, width=24) for path in paths],
        range=[-0.6, len(paths) - 0.4],
    )
    figure.update_layout(hovermode="closest", showlegend=True)
    return frame(
        figure,
        title=TITLE,
        subtitle=f"{caption(study, first.trials)} at epoch {first.epoch}",
        notes=[
            "Whiskers are descriptive: 5th to 95th percentile over resampled trials (forests: over single trees).",
            *_notes(study, methods),
            *thinned_words(len(first.trials), len(ended)),
        ],
        alt=f"Importance of {len(paths)} parameters by {len(methods)} methods; the most important: "
        + ", ".join(f"{max(one.shares, key=lambda path: one.shares[path])} by {one.name}" for one in methods)
        + ".",
        height=80 + 62 * len(paths),
        top=64,
    )


def _numbers(trials: Sequence[TrialRecord]) -> list[int]:
    return [trial.number for trial in trials]


def _thinned(epoch: int, trials: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    return tuple(spread_by_rank(trials, lambda trial: trial.values[epoch], MOST_TRIALS))


def _by_ped_anova(name: str, study: StudyRecord, epoch: int, trials: tuple[TrialRecord, ...]) -> Method:
    # The importance figure's own shares: what too few of the best trials had is not judged here either.
    of_these = replace(study, trials=trials)
    judged = importance_of(of_these).shares

    def evaluate(some: Sequence[TrialRecord]) -> dict[str, float]:
        raw = ped_anova(some, [trial.values[epoch] for trial in some], study.maximize, top_share(len(some)))
        return {path: value for path, value in raw.items() if path in judged}

    generator = np.random.default_rng(0)
    resamples = (
        evaluate([trials[index] for index in generator.integers(len(trials), size=len(trials))])
        for _ in range(RESAMPLES)
    )
    return _method(name, epoch, trials, judged, resamples)


def _by_forest(
    name: str,
    evaluator: Callable[..., dict[str, float]],
    epoch: int,
    trials: Sequence[TrialRecord],
    axes: Sequence[ParameterAxis],
) -> Method:
    values = [trial.values[epoch] for trial in trials]
    raw = evaluator(trials, values, axes, trees=TREES, seed=0)
    # A forest's tree is grown on a resample of its own.
    trees = (evaluator(trials, values, axes, trees=1, seed=seed) for seed in range(RESAMPLES))
    method = _method(name, epoch, trials, raw, trees)
    return replace(method, explained=sum(raw.values())) if evaluator is fanova else method


def _method(
    name: str,
    epoch: int,
    trials: Sequence[TrialRecord],
    raw: dict[str, float],
    resamples: Iterable[dict[str, float]],
) -> Method:
    shares = normalised(raw)
    drawn = [normalised(one) for one in resamples]
    spread = {path: np.quantile([one.get(path, 0.0) for one in drawn], INTERVAL) for path in shares}
    return Method(
        name=name,
        epoch=epoch,
        trials=tuple(trials),
        shares=dict(sorted(shares.items(), key=lambda item: (-item[1], item[0]))),
        low={path: float(spread[path][0]) for path in shares},
        high={path: float(spread[path][1]) for path in shares},
    )


def _rows(methods: Sequence[Method]) -> list[dict[str, Any]]:
    return [
        {
            "method": method.name,
            "parameter": path,
            "importance": share,
            "5 %": method.low[path],
            "95 %": method.high[path],
            "trials": len(method.trials),
            "epoch": method.epoch,
        }
        for method in methods
        for path, share in method.shares.items()
    ]


def _looks(methods: Sequence[Method]) -> list[tuple[str, str]]:
    looks = {
        "PED-ANOVA": (COMPLETE, "circle"),
        "fANOVA": (PRUNED, "square-open"),
        "mean decrease impurity": (RUNNING, "diamond-open"),
        "PED-ANOVA without pruned": (FAILED, "circle-open"),
        "PED-ANOVA, unpruned tenth": (DIVERGED, "triangle-up-open"),
    }
    return [looks[method.name] for method in methods]


def _notes(study: StudyRecord, methods: Sequence[Method]) -> list[str]:
    by_name = {method.name: method for method in methods}
    notes = []
    if "fANOVA" in by_name:
        explained = by_name["fANOVA"].explained or 0.0
        notes.append(f"fANOVA: single parameters explain {explained:.0%} of the variance, interactions the rest.")
        conditional = [path for path in parameter_axes(study) if path not in by_name["fANOVA"].shares]
        if conditional:
            notes.append(f"Not in every trial, hence by PED-ANOVA alone: {', '.join(conditional)}.")
    unpruned = [trial for trial in study.trials if trial.audit]
    if "PED-ANOVA, unpruned tenth" in by_name:
        tenth = by_name["PED-ANOVA, unpruned tenth"]
        notes.append(
            f"Without survivorship: {len(tenth.trials)} trials that were never pruned, at epoch {tenth.epoch}."
        )
    else:
        notes.append(f"The unpruned tenth has {len(unpruned)} trials, too few to say more: it takes {ENOUGH_TRIALS}.")
    return notes
