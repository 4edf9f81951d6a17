"""Several studies as one HTML page that opens offline: what each found, with which budget, and where they differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from dashboards.figures.class_compared import class_compared_table, draw_class_compared
from dashboards.figures.expected_best import draw_expected_best, expected_best_table
from dashboards.figures.history_compared import draw_history_compared, history_compared_table
from dashboards.outcomes import best_trial, count_outcomes
from dashboards.panel import panel, render_page, replace_file
from dashboards.summary import data_table, leak_words
from dashboards.text import shown_score, shown_seconds
from search.records.study import StudyRecord

FINGERPRINT_CHARACTERS = 12
_FIGURES = {
    "history-compared": (draw_history_compared, history_compared_table),
    "expected-best": (draw_expected_best, expected_best_table),
    "class-compared": (draw_class_compared, class_compared_table),
}


def write_comparison(studies: Sequence[StudyRecord], output: Path) -> None:
    """Write the page, replacing what is there in one step; raises ReportError if it cannot be written."""
    replace_file(output, render_comparison(studies))


def comparison_figures(studies: Sequence[StudyRecord]) -> dict[str, go.Figure]:
    """Every figure of the page by its name."""
    return {key: draw(*studies) for key, (draw, _) in _FIGURES.items()}


def render_comparison(studies: Sequence[StudyRecord]) -> str:
    """The page as HTML."""
    return render_page(
        "comparison.html.j2",
        {
            "names": [study.name for study in studies],
            "warnings": incomparable_words(studies),
            "overview": overview_table(studies),
            "panels": [panel(key, draw(*studies), table(*studies)) for key, (draw, table) in _FIGURES.items()],
            "differences": difference_table(studies),
        },
    )


def overview_table(studies: Sequence[StudyRecord]) -> list[dict[str, Any]]:
    """One dict per study: best value, its trial and epoch, trials, epochs, search time, the metric on test."""
    rows = []
    for study in studies:
        best, promotion = best_trial(study), study.facts.get("promotion")
        rows.append(
            {
                "study": study.name,
                "metric": study.metric,
                "best": None if best is None else best.value,
                "trial": None if best is None else best.number,
                "epoch": None if best is None else best.best_epoch,
                "trials": count_outcomes(study.trials) or "none",
                "epochs": sum(len(trial.values) for trial in study.trials),
                "search time": shown_seconds(study.facts["driver_s"]),
                "test": "not opened" if promotion is None else shown_score(promotion["test"]["miou"]),
            }
        )
    return rows


def difference_table(studies: Sequence[StudyRecord]) -> list[dict[str, Any]]:
    """One dict per line about data and search in which the studies differ: what, then a column per study."""
    by_study = {study.name: {row["label"]: row["value"] for row in data_table(study)} for study in studies}
    labels = list(dict.fromkeys(label for rows in by_study.values() for label in rows))
    return [
        {"what": label, **{name: rows.get(label) for name, rows in by_study.items()}}
        for label in labels
        if len({rows.get(label) for rows in by_study.values()}) > 1
    ]


def incomparable_words(studies: Sequence[StudyRecord]) -> list[str]:
    """Warnings about what makes the studies' values incomparable, and the leaks that their launches accepted."""
    words = []
    metrics = list(dict.fromkeys(study.metric for study in studies))
    if len(metrics) > 1:
        words.append(f"Warning: the studies have different metrics: {', '.join(metrics)}.")
    if len({study.maximize for study in studies}) > 1:
        words.append("Warning: some of the studies maximise their metric and some minimise it.")
    prints = {
        study.name: study.facts.get("fingerprints", {}).get(study.facts.get("split", ""), "not recorded")
        for study in studies
    }
    if len(set(prints.values())) > 1:
        each = ", ".join(f"{name} {value[:FINGERPRINT_CHARACTERS]}" for name, value in prints.items())
        words.append(f"Warning: the studies were not measured on the same images (fingerprints: {each}).")
    leaks = ((study.name, leak_words(study)) for study in studies)
    return words + [f"{name}: {leak}" for name, leak in leaks if leak]
