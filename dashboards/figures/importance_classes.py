"""Importance per class: which parameter the IoU of each class depends on, from the most to the least frequent class."""

import math
import statistics
from collections import Counter
from typing import Any

import plotly.graph_objects as go

from dashboards.classes import class_ious, class_names_and_shares, shown_share
from dashboards.evaluators import ped_anova_of_each
from dashboards.figures.importance import FEWEST_TRIALS, compared_trials, enough_have, normalised, top_share
from dashboards.frame import caption, frame, missing
from dashboards.palette import RAMP, SURFACE
from dashboards.parameters import ParameterAxis, parameter_axes
from dashboards.text import broken_path, plotly_text, shown
from dashboards.thinning import spread_by_rank, thinned_words
from search.records.study import StudyRecord, TrialRecord

TITLE = "Importance per class"
# Rows are read from as many trial folders; a hundred are plenty for a share in percent.
MOST_TRIALS = 500


def importance_classes_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per class and parameter, the most frequent class first, then by importance.

    `importance` is the parameter's share by PED-ANOVA with target −IoU of the class at the common epoch (shares sum to
    1 within a class); `best trials` are those with the highest IoU of the class, ties included, and what they and all
    used is the median of a number, the best trials' most frequent choice. A class that is undefined in too many
    trials, in which more than half tie for the best, or to which no parameter makes a difference, has no rows.
    """
    epoch, trials = _trials(study)
    if epoch is None:
        return []
    ious = [class_ious(trial, epoch) for trial in trials]
    by_class = {str(index): list(column) for index, column in enumerate(zip(*ious, strict=True))}
    best = {key: _best(trials, column) for key, column in by_class.items()}
    told_apart = {
        key: column
        for key, column in by_class.items()
        if _defined(column) >= FEWEST_TRIALS and 2 * len(best[key]) <= _defined(column) + 1
    }
    axes = parameter_axes(study)
    names, frequencies = class_names_and_shares(study, len(by_class))
    rows = []
    for key, raw in ped_anova_of_each(trials, told_apart, top_share).items():
        counted = [trial for trial, iou in zip(trials, by_class[key], strict=True) if math.isfinite(iou)]
        shares = normalised({path: value for path, value in raw.items() if enough_have(best[key], path)})
        rows += [
            {
                "class": names[int(key)],
                "share of training pixels": frequencies[int(key)],
                "parameter": path,
                "importance": share,
                "used by the best": _typical(axes[path], best[key], best[key]),
                "used by all": _typical(axes[path], counted, best[key]),
                "best trials": len(best[key]),
                "trials": len(counted),
                "epoch": epoch,
            }
            for path, share in sorted(shares.items(), key=lambda item: (-item[1], item[0]))
        ]
    # Sorting keeps the order of equals: without known frequencies, the data's.
    return sorted(rows, key=lambda row: -(row["share of training pixels"] or 0.0))


def draw_importance_classes(study: StudyRecord) -> go.Figure:
    """A heat map of parameter by class; the parameter with the largest mean share is on top."""
    epoch, trials = _trials(study)
    rows = importance_classes_table(study)
    if not rows:
        return missing(TITLE, caption(study, trials), _why_missing(study, trials))
    classes = list(dict.fromkeys(row["class"] for row in rows))
    shares = {(row["parameter"], row["class"]): row for row in rows}
    paths = sorted(
        {row["parameter"] for row in rows},
        key=lambda path: sum(shares[path, one]["importance"] for one in classes if (path, one) in shares),
    )
    cells = [[shares.get((path, one)) for one in classes] for path in paths]
    figure = go.Figure(
        go.Heatmap(
            z=[[None if cell is None else cell["importance"] for cell in line] for line in cells],
            text=[["" if cell is None else f"{cell['importance']:.0%}" for cell in line] for line in cells],
            texttemplate="%{text}",
            hoverinfo="text",
            hovertext=[["" if cell is None else _hover(cell) for cell in line] for line in cells],
            colorscale=[[0.0, SURFACE], *([(1 + index) / len(RAMP), one] for index, one in enumerate(RAMP))],
            zmin=0.0,
            zmax=1.0,
            xgap=2,
            ygap=2,
            showscale=False,
        )
    )
    frequent = {row["class"]: row["share of training pixels"] for row in rows}
    figure.update_xaxes(
        tickvals=list(range(len(classes))),
        ticktext=[_column(one, frequent[one]) for one in classes],
        side="top",
        showgrid=False,
        tickangle=-90 if len(classes) > 8 else 0,
    )
    figure.update_yaxes(
        tickvals=list(range(len(paths))),
        ticktext=[broken_path(path, width=24) for path in paths],
        showgrid=False,
    )
    first = next(row for row in rows if row["class"] == classes[-1])
    ended = compared_trials(study)[1]
    return frame(
        figure,
        title=TITLE,
        subtitle=f"{caption(study, trials)} at epoch {epoch}".replace(study.metric, "IoU of the class"),
        notes=[
            "PED-ANOVA with target −IoU of the class; shares sum to 100 % within a class.",
            "Classes from the most to the least frequent; under each name its share of the training pixels.",
            f"{first['class']}: {first['parameter']} matters most; the best {first['best trials']} trials: "
            f"{first['used by the best']}, all {first['trials']}: {first['used by all']}.",
            *thinned_words(len(trials), len(ended)),
            *_not_judged(study, classes),
            *_few(rows),
        ],
        alt=f"Importance of {len(paths)} parameters for each of {len(classes)} classes; "
        f"for {first['class']}, the least frequent, {first['parameter']} has {first['importance']:.0%}.",
        height=60 + 44 * len(paths),
        top=120 if len(classes) > 8 else 56,
        min_width=54 * len(classes) + 220,
    )


def _trials(study: StudyRecord) -> tuple[int | None, list[TrialRecord]]:
    """The common epoch of the importance figure, and its trials whose row of that epoch has an IoU per class."""
    epoch, ended = compared_trials(study)
    if epoch is None:
        return None, []
    chosen = spread_by_rank(ended, lambda trial: trial.values[epoch], MOST_TRIALS)
    with_rows = [trial for trial in chosen if class_ious(trial, epoch)]
    return (epoch, with_rows) if len(with_rows) >= FEWEST_TRIALS else (None, with_rows)


def _defined(target: list[float]) -> int:
    return sum(map(math.isfinite, target))


def _best(trials: list[TrialRecord], ious: list[float]) -> list[TrialRecord]:
    """The trials that PED-ANOVA sets against all: it takes everything from the last place on, ties included."""
    ranked = sorted(filter(math.isfinite, ious), reverse=True)
    if not ranked:
        return []
    last = ranked[math.ceil(top_share(len(ranked)) * len(ranked)) - 1]
    return [trial for trial, iou in zip(trials, ious, strict=True) if iou >= last]


def _typical(axis: ParameterAxis, trials: list[TrialRecord], best: list[TrialRecord]) -> str:
    """The median of a number, or how many of the trials have the choice that is the best ones' most frequent."""
    values = [trial.params[axis.path] for trial in trials if axis.path in trial.params]
    if not axis.choices:
        return f"{shown(statistics.median(values))} (median)"
    chosen = Counter(shown(trial.params[axis.path]) for trial in best if axis.path in trial.params).most_common(1)[0][0]
    return f"{chosen} ({[shown(value) for value in values].count(chosen)} of {len(values)})"


def _column(name: str, share: float | None) -> str:
    if share is None:
        return plotly_text(name)
    return f"{plotly_text(name)}<br>{shown_share(share)}"


def _hover(cell: dict[str, Any]) -> str:
    return (
        f"<b>{plotly_text(cell['class'])}</b><br>{plotly_text(cell['parameter'])} {cell['importance']:.0%}<br>"
        f"best {cell['best trials']}: {plotly_text(cell['used by the best'])}<br>"
        f"all {cell['trials']}: {plotly_text(cell['used by all'])}"
    )


def _not_judged(study: StudyRecord, classes: list[str]) -> list[str]:
    left_out = [one for one in study.facts.get("class_names", []) if one not in classes]
    if not left_out or classes[0] not in study.facts["class_names"]:
        return []
    return [f"Not judged, undefined or the same in too many trials: {', '.join(left_out)}."]


def _few(rows: list[dict[str, Any]]) -> list[str]:
    fewest = min(row["trials"] for row in rows)
    return [f"Warning: as few as {fewest} trials stand behind a class; this may be chance."] if fewest < 10 else []


def _why_missing(study: StudyRecord, trials: list[TrialRecord]) -> str:
    ended = compared_trials(study)[1]
    if len(ended) >= FEWEST_TRIALS > len(trials):
        absent = len(ended) - len(trials)
        return f"The rows of {absent} trials are not here: expected {ended[0].folder / 'epochs.jsonl'} and the like."
    if len(trials) < FEWEST_TRIALS:
        return f"{len(trials)} ended trials with rows: at least {FEWEST_TRIALS} are needed to compare parameters."
    return "No class's IoU differs with any parameter."
