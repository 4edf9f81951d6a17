"""One trial: its figures, its settings, the end of its log."""

import math
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards.classes import ARRAY, class_names_and_shares
from dashboards.figures.pictures import draw_trial_pictures
from dashboards.frame import frame, missing
from dashboards.outcomes import outcome
from dashboards.palette import ACCENT, COMPLETE, DIVERGED, INK, PRUNED, RAMP, RUNNING
from dashboards.text import data_words, plotly_text, shown, shown_score, shown_seconds
from search.records.study import StudyRecord, TrialRecord

LOSS_COLOURS = (ACCENT, PRUNED, DIVERGED, RUNNING, INK)
LOG_BYTES, LOG_LINES = 65536, 200
FIGURES = ("curves", "classes", "pictures")


def draw_trial(study: StudyRecord, trial: TrialRecord, key: str) -> go.Figure:
    """A figure of one trial; raises KeyError where there is none of this name."""
    draw = {"curves": draw_trial_curves, "classes": draw_trial_classes, "pictures": draw_trial_pictures}
    return draw[key](study, trial)


def trial_curves_table(trial: TrialRecord) -> list[dict[str, Any]]:
    """One dict per epoch: epoch, value, every metric of its row (NaN where undefined), device seconds, worker."""
    if not trial.rows:
        return [{"epoch": epoch, "value": value} for epoch, value in trial.values.items()]
    return [
        {"epoch": row.epoch, "value": row.value, **row.metrics, "device_s": row.device_s, "worker": row.worker}
        for row in trial.rows
    ]


def draw_trial_curves(study: StudyRecord, trial: TrialRecord) -> go.Figure:
    """The metric, the losses and the learning rate by epoch, one above the other."""
    title, subtitle = "Curves", f"{_who(trial)} · {study.metric} · {data_words(study)}"
    if not trial.values and not trial.rows:
        return missing(title, subtitle, "No epoch of this trial is recorded yet.")
    losses = sorted({key for row in trial.rows for key in row.metrics if "loss" in key or key.endswith("/ce")})
    rate = any("lr" in row.metrics for row in trial.rows)
    names = [study.metric, *(["loss"] if losses else []), *(["learning rate"] if rate else [])]
    figure = make_subplots(rows=len(names), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    _add_line(figure, 1, study.metric, trial.values or {row.epoch: row.value for row in trial.rows}, COMPLETE)
    for index, loss in enumerate(losses):
        values = {row.epoch: row.metrics.get(loss) for row in trial.rows}
        _add_line(figure, 2, loss, values, LOSS_COLOURS[index % len(LOSS_COLOURS)])
    if rate:
        _add_line(figure, len(names), "learning rate", {row.epoch: row.metrics.get("lr") for row in trial.rows}, INK)
    for index, name in enumerate(names, start=1):
        figure.update_yaxes(title=plotly_text(name), nticks=5, row=index, col=1)
    if rate:
        figure.update_yaxes(rangemode="tozero", row=len(names), col=1)
    figure.update_xaxes(tickformat="d")
    figure.update_xaxes(title="epoch", row=len(names), col=1)
    figure.update_layout(hovermode="x unified", showlegend=True)
    return frame(
        figure,
        title=title,
        subtitle=subtitle,
        alt=f"{study.metric}, losses and learning rate of trial {trial.number} over {len(trial.values)} epochs; "
        f"its value is {shown_score(trial.value)}.",
        height=120 + 150 * len(names),
        top=44,
    )


def trial_classes_table(study: StudyRecord, trial: TrialRecord) -> list[dict[str, Any]]:
    """One dict per class: its name and its IoU by epoch (NaN where undefined); none where no row has them."""
    rows = [row for row in trial.rows if row.arrays.get(ARRAY)]
    if not rows:
        return []
    labels, _ = class_names_and_shares(study, len(rows[-1].arrays[ARRAY]))
    return [
        {"class": label, **{str(row.epoch): row.arrays[ARRAY][index] for row in rows}}
        for index, label in enumerate(labels)
    ]


def draw_trial_classes(study: StudyRecord, trial: TrialRecord) -> go.Figure:
    """A heat map of IoU: a row per class, a column per epoch."""
    title, subtitle = "IoU per class over epochs", f"{_who(trial)} · IoU · {data_words(study)}"
    table = trial_classes_table(study, trial)
    if not table:
        return missing(title, subtitle, f"The rows of trial {trial.number} are not here: expected {trial.folder}.")
    epochs = [key for key in table[0] if key != "class"]
    grid = [[None if math.isnan(row[epoch]) else row[epoch] for epoch in epochs] for row in table]
    names = [plotly_text(row["class"]) for row in table]
    figure = go.Figure(
        go.Heatmap(
            x=[int(epoch) for epoch in epochs],
            y=list(range(len(names))),
            z=grid,
            zmin=0.0,
            zmax=1.0,
            colorscale=[[index / (len(RAMP) - 1), colour] for index, colour in enumerate(RAMP)],
            colorbar={"title": {"text": "IoU"}, "thickness": 12, "outlinewidth": 0},
            customdata=[[name] * len(epochs) for name in names],
            hovertemplate="%{customdata}, epoch %{x}: IoU %{z:.4f}<extra></extra>",
            hoverongaps=False,
        )
    )
    figure.update_xaxes(title="epoch", tickformat="d", showgrid=False)
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, showgrid=False, autorange="reversed")
    return frame(
        figure,
        title=title,
        subtitle=subtitle,
        notes=["The stronger a cell stands out, the higher the IoU; an empty one is undefined."],
        alt=f"IoU of {len(names)} classes over {len(epochs)} epochs of trial {trial.number}.",
        height=90 + 22 * len(names),
    )


def trial_headline(study: StudyRecord, trial: TrialRecord) -> list[dict[str, str]]:
    """The few numbers a reader looks for first: label, value, and a line of detail each."""
    device_s = sum(row.device_s for row in trial.rows)
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
            "value": shown_seconds(device_s) if trial.rows else "–",
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


def log_tails(trial: TrialRecord) -> dict[str, str]:
    """The last lines of the logs in the trial's folder, by file name."""
    tails = {}
    for path in sorted(trial.folder.glob("*.log")):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        tails[path.name] = "\n".join(lines[-LOG_LINES:])
    return tails


def _add_line(figure: go.Figure, row: int, name: str, values: Mapping[int, float | None], colour: str) -> None:
    figure.add_scatter(
        x=list(values),
        y=[value if value is not None and math.isfinite(value) else None for value in values.values()],
        mode="lines+markers",
        name=plotly_text(name),
        line={"color": colour, "width": 1.8},
        marker={"size": 5},
        row=row,
        col=1,
    )


def _who(trial: TrialRecord) -> str:
    return f"trial {trial.number} ({outcome(trial).value.label})"


def _best_words(trial: TrialRecord) -> str:
    return f"epoch {trial.best_epoch}" if trial.best_epoch is not None else "no epoch with a value"
