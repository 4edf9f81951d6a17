"""Figures as the live pages ask for them: drawn once for each state of a study, thinned where trials are many."""

import json
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import replace

import plotly.graph_objects as go

from dashboards.figures.slice import draw_slice, slice_table
from dashboards.outcomes import best_trial
from dashboards.panel import Table, panel
from dashboards.parameters import parameter_axes
from dashboards.report import FIGURES
from dashboards.thinning import spread_by_rank
from search.records.live import Snapshot
from search.records.study import StudyRecord, TrialRecord

# What the promotion's own page shows.
PROMOTION = ("promotion", "confusion", "promoted-pictures", "finalists")
SLICE = "slice-"
# What is computed for seconds comes last.
LAST = ("importance-methods", "importance-classes", "interactions")
# Beyond so many trials extremes are kept and the rest is spread evenly; the other figures see to it themselves.
THINNED = {"curves": 150, "history": 1500}
KEPT_FIGURES = 128

Draw = Callable[[StudyRecord], go.Figure]


class Drawings:
    """Figures as JSON with their words, remembered while their study does not change."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], str] = OrderedDict()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def figure(self, snapshot: Snapshot, key: str) -> str:
        """A figure of the study as JSON; raises KeyError where there is none of this name."""
        if key not in FIGURES and not key.startswith(SLICE):
            raise KeyError(key)
        mark = snapshot.revision, key
        # One of a family at a time: several browsers ask for the same, and importances, which are slow, take turns.
        with self._locks[key.partition("-")[0]]:
            text = self._kept.get(mark)
            if text is None:
                draw, _ = figures_of(snapshot.study)[key]
                text = self._kept[mark] = figure_json(key, _drawn(snapshot.study, key, draw))
                while len(self._kept) > KEPT_FIGURES:
                    self._kept.popitem(last=False)
            return text


def figures_of(study: StudyRecord) -> dict[str, tuple[Draw, Callable[[StudyRecord], Table]]]:
    """What draws and what tabulates each figure of a study's page, in the page's order."""
    ordered = sorted(FIGURES, key=lambda key: key in LAST)
    found = {key: FIGURES[key] for key in ordered if key not in PROMOTION}
    for index, path in enumerate(parameter_axes(study)):
        found[f"{SLICE}{index}"] = (
            lambda study, path=path: draw_slice(study, path),  # type: ignore[misc]
            lambda study, path=path: slice_table(study, path),  # type: ignore[misc]
        )
    return found


def promotion_figures(study: StudyRecord) -> dict[str, Draw]:
    """What draws each figure of the promotion's page: finalists only where some were compared, the rest where kept."""
    record = study.facts.get("promotion", {})
    test = record.get("test", {})
    has = {
        "finalists": bool(record.get("choice")),
        "confusion": "confusion" in test,
        "promoted-pictures": "worst" in test,
    }
    return {key: FIGURES[key][0] for key in PROMOTION if has.get(key, True)}


def figure_json(key: str, figure: go.Figure) -> str:
    """A framed figure as JSON: its words, and what Plotly draws, without them."""
    one = panel(key, figure, [])
    words = {"title": one.title, "subtitle": one.subtitle, "notes": one.notes, "alt": one.alt, "missing": one.missing}
    words_json = json.dumps({**words, "min_width": one.min_width})
    return f'{words_json[:-1]}, "figure": {one.figure_json}}}'


def thinned(study: StudyRecord, most: int) -> StudyRecord:
    """The study with about `most` of its trials, in their order.

    Those that run stay, and those that hold a record: the best so far at their time, and the highest and lowest at any
    epoch; the others are spread evenly by the rank of their value, the best and the worst among them.
    """
    if len(study.trials) <= most:
        return study
    valued = [trial for trial in study.trials if trial.value is not None]
    kept = {trial.number for trial in spread_by_rank(valued, lambda trial: trial.value or 0.0, most)}
    kept.update(trial.number for trial in study.trials if trial.state == "RUNNING")
    kept.update(_record_holders(study), _extremes(study.trials))
    if (best := best_trial(study)) is not None:
        kept.add(best.number)
    return replace(study, trials=tuple(trial for trial in study.trials if trial.number in kept))


def _drawn(study: StudyRecord, key: str, draw: Draw) -> go.Figure:
    shown = thinned(study, THINNED[key]) if key in THINNED else study
    figure = draw(shown)
    if len(shown.trials) < len(study.trials):
        note = (
            f"{len(shown.trials)} of {len(study.trials)} trials are drawn: those that run, the highest and lowest of "
            "every epoch, each best so far, and others evenly by rank."
        )
        figure.layout.meta = {**figure.layout.meta, "notes": [*figure.layout.meta["notes"], note]}
    return figure


def _record_holders(study: StudyRecord) -> list[int]:
    """Trials that were the best so far when they ended, in the order asked."""
    held: list[int] = []
    best: float | None = None
    for trial in study.trials:
        if trial.state != "COMPLETE" or trial.violated or trial.value is None:
            continue
        if best is None or (trial.value > best if study.maximize else trial.value < best):
            best = trial.value
            held.append(trial.number)
    return held


def _extremes(trials: tuple[TrialRecord, ...]) -> set[int]:
    """Trials with the highest or the lowest value of an epoch."""
    high: dict[int, tuple[float, int]] = {}
    low: dict[int, tuple[float, int]] = {}
    for trial in trials:
        for epoch, value in trial.values.items():
            # A value that is not a number compares as neither.
            if epoch not in high or value > high[epoch][0]:
                high[epoch] = value, trial.number
            if epoch not in low or value < low[epoch][0]:
                low[epoch] = value, trial.number
    return {number for found in (high, low) for _, number in found.values()}
