"""One trial as tables: its epochs, its settings."""

from collections.abc import Mapping
from typing import Any

from dashboards.outcomes import outcome
from dashboards.text import shown, shown_score, shown_seconds
from search.records.study import StudyRecord, TrialRecord


def trial_curves_table(trial: TrialRecord) -> list[dict[str, Any]]:
    """One dict per epoch: epoch, value, every metric of its row (NaN where undefined), device seconds, worker."""
    if not trial.rows:
        return [{"epoch": epoch, "value": value} for epoch, value in trial.values.items()]
    return [
        {"epoch": row.epoch, "value": row.value, **row.metrics, "device_s": row.device_s, "worker": row.worker}
        for row in trial.rows
    ]


def trial_headline(study: StudyRecord, trial: TrialRecord) -> list[dict[str, str]]:
    """The few numbers a reader looks for first: label, value, and a line of detail each."""
    device_s = trial.device_s
    workers = ", ".join(dict.fromkeys(row.worker for row in trial.rows))
    total = study.settings.get("trial", {}).get("epochs")
    spent = None if trial.started_s is None or trial.ended_s is None else trial.ended_s - trial.started_s
    return [
        {"label": study.metric, "value": shown_score(trial.value), "detail": _best_words(trial)},
        {"label": "state", "value": outcome(trial).value.label, "detail": trial.reason or trial.state.lower()},
        {
            "label": "epochs",
            "value": f"{len(trial.values)}" if total is None else f"{len(trial.values)} of {total}",
            "detail": "in the audited tenth: never pruned" if trial.audit else "",
        },
        {
            "label": "device time",
            "value": "–" if device_s is None else shown_seconds(device_s),
            "detail": " · ".join(filter(None, [f"{shown_seconds(spent)} in all" if spent else "", workers])),
        },
    ]


def settings_table(study: StudyRecord, trial: TrialRecord) -> list[dict[str, str]]:
    """One dict per setting of the trial by dotted path: its value, and whether it was searched."""
    found = {**flat(study.settings.get("trial", {})), **trial.params}
    return [
        {"setting": path, "value": shown(value), "from": "searched" if path in trial.params else "fixed"}
        for path, value in sorted(found.items(), key=lambda item: (item[0] not in trial.params, item[0]))
    ]


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A mapping of mappings by dotted path."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{above}{key}"
        found |= flat(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
    return found


def _best_words(trial: TrialRecord) -> str:
    return f"epoch {trial.best_epoch}" if trial.best_epoch is not None else "no epoch with a value"
