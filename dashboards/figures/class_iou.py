"""IoU per class of the best trial at its best epoch, beside how much of the training pixels each class has."""

import math
from typing import Any

import plotly.graph_objects as go

from dashboards.classes import class_ious, class_names_and_shares, shown_share
from dashboards.frame import frame, missing, why_no_value
from dashboards.outcomes import best_trial
from dashboards.palette import ACCENT
from dashboards.text import data_words, plotly_text, shown_score
from search.records.study import StudyRecord

TITLE = "IoU per class"


def class_iou_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per class in the data's order: class, IoU (NaN where undefined), share of training pixels or None.

    Empty where there is no complete trial or its row of the best epoch is not on this machine.
    """
    best = best_trial(study)
    ious = [] if best is None else class_ious(best, best.best_epoch)
    names, shares = class_names_and_shares(study, len(ious))
    return [
        {"class": name, "IoU": iou, "share of training pixels": share}
        for name, iou, share in zip(names, ious, shares, strict=True)
    ]


def draw_class_iou(study: StudyRecord) -> go.Figure:
    """Bars by class, the first class on top."""
    best = best_trial(study)
    if best is None:
        return missing(TITLE, data_words(study), why_no_value(study))
    subtitle = f"trial {best.number} (complete, best of {len(study.trials)} trials), epoch {best.best_epoch} · "
    subtitle += f"{study.metric} {shown_score(best.value)} · {data_words(study)}"
    rows = class_iou_table(study)[::-1]
    if not rows:
        return missing(TITLE, subtitle, f"The rows of trial {best.number} are not here: expected {best.folder}.")
    excluded = study.settings.get("trial", {}).get("metric", {}).get("exclude", [])
    figure = go.Figure(
        go.Bar(
            x=[0.0 if math.isnan(row["IoU"]) else row["IoU"] for row in rows],
            y=list(range(len(rows))),
            orientation="h",
            width=0.66,
            marker={"color": ACCENT},
            text=[_bar_words(row, row["class"] in excluded) for row in rows],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(range=[0, 1.3], tickvals=[0, 0.25, 0.5, 0.75, 1], title="IoU")
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[plotly_text(row["class"]) for row in rows],
        showgrid=False,
        range=[-0.6, len(rows) - 0.4],
    )
    defined = [row for row in rows if not math.isnan(row["IoU"])]
    worst = min(defined, key=lambda row: row["IoU"], default=None)
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=["In brackets: share of the training pixels."] if rows[0]["share of training pixels"] is not None else [],
        alt=f"IoU of {len(rows)} classes"
        + (f"; the lowest is {worst['class']} with {shown_score(worst['IoU'])}." if worst else ", none defined."),
        height=80 + 27 * len(rows),
    )


def _bar_words(row: dict[str, Any], excluded: bool) -> str:
    words = "undefined" if math.isnan(row["IoU"]) else f"{row['IoU']:.3f}"
    share = row["share of training pixels"]
    words += f" ({shown_share(share)})" if share is not None else ""
    return words + (" not in the mean" if excluded else "")
