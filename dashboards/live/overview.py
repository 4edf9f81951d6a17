"""Tables of the live pages: all studies, the trials of one, chosen trials side by side."""

import math
import shlex
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from dashboards.classes import class_ious, class_names_and_shares
from dashboards.outcomes import best_trial, count_outcomes, outcome
from dashboards.parameters import parameter_axes
from dashboards.summary import COUNTED
from dashboards.text import shown, shown_score, shown_seconds
from search.records.lease import state_words, study_state
from search.records.live import Snapshot
from search.records.study import ROWS, StudyRecord, TrialRecord

TRIALS_A_PAGE = 100
SORTS: dict[str, Callable[[StudyRecord], Callable[[TrialRecord], Any]]] = {
    "newest": lambda study: lambda trial: -trial.number,
    "number": lambda study: lambda trial: trial.number,
    "best": lambda study: lambda trial: _rank(study, trial),
    "state": lambda study: lambda trial: (trial.state, trial.number),
}


def study_row(snapshot: Snapshot) -> dict[str, Any]:
    """One study for the table of all: state, trials, best, time; what it lacks is None."""
    study = snapshot.study
    best = best_trial(study)
    total = study.facts["budget"]["trials"]
    ended = sum(trial.state in COUNTED for trial in study.trials)
    return {
        "state": live_state(snapshot)[0],
        "state_words": live_state(snapshot)[1],
        "metric": study.metric,
        "best": None if best is None else shown_score(best.value),
        "best_trial": None if best is None else best.number,
        "ended": f"{ended}" if total is None else f"{ended} of {total}",
        "outcomes": count_outcomes(study.trials) or "none started",
        "time": shown_seconds(study.facts["driver_s"]),
        "last": last_words(study),
        "promoted": study.facts.get("promotion"),
    }


def live_state(snapshot: Snapshot) -> tuple[str, str]:
    """In a word what the study does, as `contourney status` has it, and the same with who runs it or did."""
    study = snapshot.study
    state = study_state(Counter(trial.state for trial in study.trials), study.facts["budget"]["trials"], snapshot.lease)
    return state, state_words(study.name, state, snapshot.lease)


def elsewhere_words(study: StudyRecord) -> str | None:
    """That trial folders lie elsewhere and how many rows are here; None where they lie in the workspace."""
    place = study.facts.get("storage")
    if place is None:
        return None
    started = [trial for trial in study.trials if trial.values]
    here = sum((trial.folder / ROWS).is_file() for trial in started)
    if here == len(started):
        return None
    return (
        f"The trials' files are kept at {place}; those of {here} of {len(started)} trials are here, and figures of "
        f"rows (classes, losses, cost, timeline, pictures) show these alone. A trial's page fetches its own; "
        f"contourney report {shlex.quote(study.name)} fetches all."
    )


def last_words(study: StudyRecord) -> str:
    """When the newest thing was recorded, in local time: a trial's start or end, or an epoch of one that runs."""
    times = [time_s for trial in study.trials for time_s in (trial.started_s, trial.ended_s) if time_s is not None]
    for trial in study.trials:
        if trial.state == "RUNNING":
            rows = trial.folder / "epochs.jsonl"
            times += [rows.stat().st_mtime] if rows.is_file() else []
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(max(times))) if times else "–"


def trials_page(study: StudyRecord, sort: str, page: int) -> tuple[list[dict[str, Any]], int]:
    """The trials on a page (from 1) in an order of SORTS, and the number of pages."""
    ordered = sorted(study.trials, key=SORTS[sort](study))
    pages = max(1, math.ceil(len(ordered) / TRIALS_A_PAGE))
    axes = parameter_axes(study)
    return [
        {
            "trial": trial.number,
            "state": outcome(trial).value.label,
            "value": trial.value,
            "best epoch": trial.best_epoch,
            "epochs": len(trial.values),
            **{path: trial.params.get(path) for path in axes},
        }
        for trial in ordered[(page - 1) * TRIALS_A_PAGE : page * TRIALS_A_PAGE]
    ], pages


def compared_settings(trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """One dict per searched setting: its value in each trial, and whether they differ; those that do come first."""
    paths = list(dict.fromkeys(path for trial in trials for path in trial.params))
    rows = []
    for path in paths:
        values = [shown(trial.params[path]) if path in trial.params else "not active" for trial in trials]
        rows.append({"setting": path, "values": values, "differ": len(set(values)) > 1})
    return sorted(rows, key=lambda row: not row["differ"])


def compared_results(study: StudyRecord, trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """One dict per result: its words for each trial."""
    device = [trial.device_s for trial in trials]
    return [
        {"result": study.metric, "values": [shown_score(trial.value) for trial in trials]},
        {"result": "state", "values": [outcome(trial).value.label for trial in trials]},
        {"result": "best epoch", "values": [shown(trial.best_epoch) for trial in trials]},
        {"result": "epochs", "values": [str(len(trial.values)) for trial in trials]},
        {"result": "device time", "values": ["–" if one is None else shown_seconds(one) for one in device]},
    ]


def compared_classes(study: StudyRecord, trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """One dict per class: the IoU of each trial at its best epoch (NaN where undefined), and first minus last.

    Empty where a trial has no such row here.
    """
    found = [class_ious(trial, trial.best_epoch) for trial in trials]
    count = len(found[0])
    if not count or any(len(ious) != count for ious in found):
        return []
    labels, _ = class_names_and_shares(study, count)
    return [
        {
            "class": label,
            "values": [shown_score(ious[index]) for ious in found],
            "difference": _signed(found[0][index] - found[-1][index]),
        }
        for index, label in enumerate(labels)
    ]


def mlflow_link(tracking: str, run_id: str | None) -> str | None:
    """The page of a run on a tracking server, without user and password; None where there is no server or run."""
    parts = urlsplit(tracking)
    if run_id is None or parts.scheme not in ("http", "https"):
        return None
    # MLflow's own page finds the experiment of the run.
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/#/runs/{quote(run_id, safe='')}"


def _rank(study: StudyRecord, trial: TrialRecord) -> tuple[bool, float, int]:
    value = trial.value if trial.value is not None and trial.state == "COMPLETE" and not trial.violated else None
    return value is None, 0.0 if value is None else -value if study.maximize else value, trial.number


def _signed(difference: float) -> str:
    return "undefined" if math.isnan(difference) else f"{difference:+.4f}"
