"""IoU per class of two trials side by side: what one setting gives to some classes and takes from others."""

import math
from typing import Any

import plotly.graph_objects as go

from dashboards.classes import by_frequency, class_ious, class_names_and_shares, shown_share
from dashboards.frame import frame, missing
from dashboards.outcomes import is_better, outcome, ranked
from dashboards.palette import ACCENT, INK, SECOND
from dashboards.text import counted, data_words, plotly_text, shown, shown_score
from search.records.study import StudyRecord, TrialRecord

TITLE = "Two trials, class by class"
WEIGHTS = "loss.class_weights"
DIFFERENCES = 4


def class_difference_table(
    study: StudyRecord, first: int | None = None, second: int | None = None
) -> list[dict[str, Any]]:
    """One dict per class, the most frequent first: its share of the training pixels, the IoU of both trials at their
    best epochs and first minus second (NaN where undefined).

    By default the best trial and the best of those with other class weights; where weights were not searched, the
    second best. Empty where there are no two trials with rows here.
    """
    pair = _pair(study, first, second)
    if pair is None:
        return []
    ious = [class_ious(trial, _epoch(study, trial)) for trial in pair]
    if not all(ious) or len(ious[0]) != len(ious[1]):
        return []
    names, shares = class_names_and_shares(study, len(ious[0]))
    return [
        {
            "class": names[index],
            "share of training pixels": shares[index],
            f"trial {pair[0].number}": ious[0][index],
            f"trial {pair[1].number}": ious[1][index],
            "difference": ious[0][index] - ious[1][index],
        }
        for index in by_frequency(shares)
    ]


def draw_class_difference(study: StudyRecord, first: int | None = None, second: int | None = None) -> go.Figure:
    """Bars of the difference by class, the most frequent on top."""
    pair = _pair(study, first, second)
    if pair is None:
        return missing(TITLE, data_words(study), "It takes two trials with a value; by default two complete ones.")
    one, other = pair
    subtitle = " against ".join(
        f"trial {trial.number} ({outcome(trial).value.label}, epoch {_epoch(study, trial)}, {shown_score(trial.value)})"
        for trial in pair
    )
    subtitle += f" · {study.metric} · {data_words(study)}"
    rows = class_difference_table(study, first, second)[::-1]
    if not rows:
        return missing(TITLE, subtitle, f"Their rows are not here: expected {one.folder} and {other.folder}.")
    differences = [row["difference"] if math.isfinite(row["difference"]) else 0.0 for row in rows]
    reach = max(map(abs, differences)) or 0.01
    figure = go.Figure(
        go.Bar(
            x=differences,
            y=list(range(len(rows))),
            orientation="h",
            width=0.66,
            marker={"color": [ACCENT if value >= 0 else SECOND for value in differences]},
            text=[_words(row, pair) for row in rows],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    figure.update_xaxes(
        range=[-2.7 * reach, 2.7 * reach], title=f"IoU of trial {one.number} minus trial {other.number}"
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[
            plotly_text(row["class"])
            + ("" if row["share of training pixels"] is None else f" ({shown_share(row['share of training pixels'])})")
            for row in rows
        ],
        showgrid=False,
        range=[-0.6, len(rows) - 0.4],
    )
    gained = sum(value > 0 for value in differences)
    alt = f"Of {len(rows)} classes {gained} have a higher IoU in trial {one.number} than in trial {other.number}."
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=[_settings_words(pair), "Classes from the most to the least frequent (share of the training pixels)."],
        alt=alt,
        height=80 + 27 * len(rows),
    )


def _pair(study: StudyRecord, first: int | None, second: int | None) -> tuple[TrialRecord, TrialRecord] | None:
    by_number = {trial.number: trial for trial in study.trials}
    best = ranked(study)
    one = by_number.get(first) if first is not None else next(iter(best), None)
    if one is None:
        return None
    others = [trial for trial in best if trial.number != one.number]
    weighted_otherwise = [trial for trial in others if trial.params.get(WEIGHTS) != one.params.get(WEIGHTS)]
    other = by_number.get(second) if second is not None else next(iter(weighted_otherwise or others), None)
    return None if other is None else (one, other)


def _epoch(study: StudyRecord, trial: TrialRecord) -> int | None:
    """The best epoch; that of a trial which did not end is the best so far."""
    if trial.best_epoch is not None:
        return trial.best_epoch
    best: int | None = None
    for epoch, value in trial.values.items():
        if math.isfinite(value) and (best is None or is_better(study, value, trial.values[best])):
            best = epoch
    return best


def _settings_words(pair: tuple[TrialRecord, TrialRecord]) -> str:
    """In which searched parameters the two differ, class weights first."""
    one, other = pair
    paths = sorted({*one.params, *other.params}, key=lambda path: (path != WEIGHTS, path))
    differ = [path for path in paths if one.params.get(path) != other.params.get(path)]
    words = [
        f"{path} {shown(one.params.get(path, 'not active'))} against {shown(other.params.get(path, 'not active'))}"
        for path in differ[:DIFFERENCES]
    ]
    more = len(differ) - len(words)
    if more:
        words.append(f"{counted(more, 'further difference')}")
    return ", ".join(words) + "." if words else "Both have the same searched parameters."


def _words(row: dict[str, Any], pair: tuple[TrialRecord, TrialRecord]) -> str:
    values = [row[f"trial {trial.number}"] for trial in pair]
    if not math.isfinite(row["difference"]):
        return "undefined"
    return f"{row['difference']:+.3f} ({values[0]:.3f}, {values[1]:.3f})"
