"""Timeline of workers: which trial each trained when, how busy it was, and what interruptions took."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboards.frame import caption, frame, missing
from dashboards.outcomes import Outcome, outcome
from dashboards.text import HOUR_S, MINUTE_S, counted, plotly_text, shown_seconds
from search.records.study import Row, StudyRecord, TrialRecord

TITLE = "Timeline of workers"
# Rows are read from as many trial folders.
MOST_TRIALS = 1000
MOST_LANES = 40
# Two epochs of a trial lie closer together unless it was interrupted.
BREAK_S = 60.0


@dataclass(frozen=True)
class Stretch:
    """What a worker trained of one trial without an interruption; seconds are Unix times, `busy_s` a duration."""

    worker: str
    trial: TrialRecord
    epochs: int
    started_s: float
    ended_s: float
    busy_s: float


def timeline_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per worker (host and process) in the order they came: trials, epochs, utilisation (part of its time
    from first to last epoch, without pauses of the study, that epochs took), and durations: epochs, idle between
    trials, pauses of the study in its time; and how many trials it took over that were interrupted.
    """
    stretches = _stretches(study)
    pauses = _pauses(stretches)
    taken_over = [after for _, after in _interruptions(stretches)]
    rows = []
    for worker, own in _by_worker(stretches).items():
        start, end = own[0].started_s, max(one.ended_s for one in own)
        paused = sum(max(0.0, min(end, to) - max(start, since)) for since, to in pauses)
        busy = sum(one.busy_s for one in own)
        there = end - start - paused
        rows.append(
            {
                "worker": worker,
                "trials": len({one.trial.number for one in own}),
                "epochs": sum(one.epochs for one in own),
                "utilisation": busy / there if there > 0 else 1.0,
                "training": shown_seconds(busy),
                "idle": shown_seconds(max(0.0, there - busy)),
                "study paused": shown_seconds(paused),
                "taken over": sum(one.worker == worker for one in taken_over),
            }
        )
    return rows


def time_words(study: StudyRecord) -> str:
    """How much of the workers' time epochs took, and what pauses and interruptions took, as sentences."""
    stretches = _stretches(study)
    if not stretches:
        return ""
    pauses = _pauses(stretches)
    since, to = min(one.started_s for one in stretches), max(one.ended_s for one in stretches)
    paused = sum(end - start for start, end in pauses)
    busy = sum(one.busy_s for one in stretches)
    there = 0.0
    for own in _by_worker(stretches).values():
        start, end = own[0].started_s, max(one.ended_s for one in own)
        there += end - start - sum(max(0.0, min(end, last) - max(start, first)) for first, last in pauses)
    words = f"{shown_seconds(to - since)} from the first epoch to the last"
    words += (
        f", {shown_seconds(paused)} of it with no epoch under way ({counted(len(pauses), 'pause')})" if pauses else ""
    )
    words += f"; epochs took {busy / there:.1%} of the workers' time." if there > 0 else "."
    interrupted = _interruptions(stretches)
    if interrupted:
        lost = sum(after.started_s - before.ended_s for before, after in interrupted)
        times = counted(len(interrupted), "interruption")
        words += f" {times} of a trial that went on later, after {shown_seconds(lost)} in all."
    return words


def draw_timeline(study: StudyRecord) -> go.Figure:
    """A lane per worker, a bar per trial in the colour of how it ended."""
    stretches = _stretches(study)
    trials = _read(study)
    subtitle = caption(study, trials)
    if not stretches:
        where = f": expected epochs.jsonl in {trials[0].folder} and the like" if trials else ""
        return missing(TITLE, subtitle, f"No epoch's times are here{where}.")
    lanes = list(_by_worker(stretches))
    shown_lanes = lanes[-MOST_LANES:]
    place = {worker: len(shown_lanes) - 1 - index for index, worker in enumerate(shown_lanes)}
    start = min(one.started_s for one in stretches)
    unit, unit_s = (
        ("hours", HOUR_S) if max(one.ended_s for one in stretches) - start > HOUR_S else ("minutes", MINUTE_S)
    )
    figure = go.Figure()
    for one in Outcome:
        own = [stretch for stretch in stretches if outcome(stretch.trial) is one and stretch.worker in place]
        if own:
            figure.add_bar(
                base=[(stretch.started_s - start) / unit_s for stretch in own],
                x=[(stretch.ended_s - stretch.started_s) / unit_s for stretch in own],
                y=[place[stretch.worker] for stretch in own],
                orientation="h",
                width=0.62,
                marker={"color": one.value.colour, "line": {"width": 0}},
                name=f"{one.value.glyph} {one.value.label}",
                text=[one.value.glyph for _ in own],
                textposition="inside",
                insidetextanchor="end",
                hoverinfo="text",
                hovertext=[_words(stretch) for stretch in own],
            )
    figure.update_xaxes(title=f"{unit} since the first epoch", rangemode="tozero", nticks=10)
    figure.update_yaxes(
        tickvals=list(place.values()),
        ticktext=[plotly_text(worker) for worker in place],
        showgrid=False,
        range=[-0.6, len(place) - 0.4],
    )
    figure.update_layout(barmode="overlay", hovermode="closest", showlegend=True)
    read = f"The newest {MOST_TRIALS} of {len(study.trials)} trials." if len(study.trials) > MOST_TRIALS else ""
    cut = f"The last {MOST_LANES} of {len(lanes)} workers." if len(lanes) > MOST_LANES else ""
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=[time_words(study), *filter(None, [read, cut])],
        alt=f"{len(stretches)} stretches of training on {len(lanes)} workers. {time_words(study)}",
        height=90 + 30 * len(place),
        top=44,
    )


def _read(study: StudyRecord) -> tuple[TrialRecord, ...]:
    return study.trials[-MOST_TRIALS:]


def _stretches(study: StudyRecord) -> list[Stretch]:
    """All stretches by the time that they began."""
    found = [stretch for trial in _read(study) for stretch in _of_trial(trial)]
    return sorted(found, key=lambda one: one.started_s)


def _of_trial(trial: TrialRecord) -> Iterable[Stretch]:
    together: list[Row] = []
    for row in sorted(trial.rows, key=lambda row: row.started_s):
        if together and (row.worker != together[-1].worker or row.started_s - together[-1].ended_s > BREAK_S):
            yield _stretch(trial, together)
            together = []
        together.append(row)
    if together:
        yield _stretch(trial, together)


def _stretch(trial: TrialRecord, rows: Sequence[Row]) -> Stretch:
    busy = sum(row.ended_s - row.started_s for row in rows)
    return Stretch(rows[0].worker, trial, len(rows), rows[0].started_s, rows[-1].ended_s, busy)


def _by_worker(stretches: Sequence[Stretch]) -> dict[str, list[Stretch]]:
    workers: dict[str, list[Stretch]] = defaultdict(list)
    for one in stretches:
        workers[one.worker].append(one)
    return workers


def _pauses(stretches: Sequence[Stretch]) -> list[tuple[float, float]]:
    """When no worker had an epoch under way for longer than a trial takes to begin: start and end."""
    pauses: list[tuple[float, float]] = []
    latest = stretches[0].ended_s if stretches else 0.0
    for one in stretches:
        if one.started_s - latest > BREAK_S:
            pauses.append((latest, one.started_s))
        latest = max(latest, one.ended_s)
    return pauses


def _interruptions(stretches: Sequence[Stretch]) -> list[tuple[Stretch, Stretch]]:
    """Of every trial, each stretch with the one after it."""
    last: dict[int, Stretch] = {}
    pairs = []
    for one in stretches:
        before = last.get(one.trial.number)
        if before is not None:
            pairs.append((before, one))
        last[one.trial.number] = one
    return pairs


def _words(one: Stretch) -> str:
    return (
        f"<b>trial {one.trial.number}</b><br>{outcome(one.trial).value.label}<br>{one.epochs} epochs, "
        f"{shown_seconds(one.ended_s - one.started_s)}<br>{plotly_text(one.worker)}"
    )
