"""The final evaluation: test figures beside the validation figures of the same weights."""

from typing import Any

import plotly.graph_objects as go

from dashboards.frame import frame, missing
from dashboards.palette import ACCENT, GRID, SECOND
from dashboards.text import plotly_text, shown_score
from search.records.study import StudyRecord

TITLE = "Final evaluation on the test split"


def promotion_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per figure: the metric, pixel accuracy, then IoU per class, on validation and test (None: undefined);
    where the record has them, both ends of the 95 % interval on test and in how many test images a class is.

    Empty where the study has not been promoted.
    """
    record = study.facts.get("promotion")
    if record is None:
        return []
    validation, test = record["validation"], record["test"]
    rows = [
        {"figure": record["metric"], "validation": validation["miou"], "test": test["miou"]},
        {
            "figure": "pixel accuracy",
            "validation": validation["pixel_accuracy"],
            "test": test["pixel_accuracy"],
        },
    ]
    rows += [
        {"figure": f"IoU {name}", "validation": validation["iou"][name], "test": value}
        for name, value in test["iou"].items()
    ]
    if "interval" not in test:
        return rows
    intervals = [test["interval"], None, *(test["iou_interval"][name] for name in test["iou"])]
    images = [test["images"], test["images"], *(test["images_with"][name] for name in test["iou"])]
    return [
        {**row, "95 % from": interval and interval[0], "95 % to": interval and interval[1], "test images": count}
        for row, interval, count in zip(rows, intervals, images, strict=True)
    ]


def promotion_words(study: StudyRecord) -> str:
    """Which weights were evaluated on what, and the how-manieth opening of the test split that was."""
    record = study.facts["promotion"]
    words = (
        f"trial {record['trial']}, epoch {record['epoch']} · test split ({record['test']['images']} images), "
        f"opening {record['opening']} of this test set · beside validation ({record['validation']['images']} images)"
    )
    return words + (f" · opened again: {record['again']}" if record.get("again") else "")


def draw_promotion(study: StudyRecord) -> go.Figure:
    """A line per figure from validation to test."""
    rows = promotion_table(study)[::-1]
    if not rows:
        return missing(TITLE, study.metric, "This study has not been promoted: the test split was not opened.")
    record = study.facts["promotion"]
    figure = go.Figure()
    for index, row in enumerate(rows):
        if row["validation"] is not None and row["test"] is not None:
            figure.add_shape(
                type="line", x0=row["validation"], x1=row["test"], y0=index, y1=index, layer="below",
                line={"color": GRID, "width": 5},
            )  # fmt: skip
    for split, colour, symbol in (("validation", ACCENT, "circle-open"), ("test", SECOND, "diamond")):
        figure.add_scatter(
            x=[row[split] for row in rows],
            y=list(range(len(rows))),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"width": 2, "color": colour}},
            error_x=_whiskers(rows, colour) if split == "test" else None,
            name=split,
            hoverinfo="text",
            hovertext=[f"{plotly_text(row['figure'])}, {split}: {shown_score(row[split])}" for row in rows],
        )
    labels = [plotly_text(row["figure"]) for row in rows]
    figure.update_xaxes(range=[-0.02, 1.02], nticks=6)
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=labels, showgrid=False, range=[-0.6, len(rows) - 0.4])
    figure.update_layout(showlegend=True, hovermode="closest")
    return frame(
        figure,
        title=TITLE,
        subtitle=promotion_words(study),
        notes=_interval_notes(record["test"]),
        alt=f"{record['metric']} is {shown_score(record['test']['miou'])} on test and "
        f"{shown_score(record['validation']['miou'])} on validation.",
        height=90 + 26 * len(rows),
        top=40,
    )


def _whiskers(rows: list[dict[str, Any]], colour: str) -> dict[str, Any] | None:
    """The 95 % intervals as plotly's error bars; None where the record is an older one, without any."""
    if "95 % from" not in rows[0]:
        return None
    known = [row["test"] is not None and row["95 % from"] is not None for row in rows]
    return {
        "type": "data",
        "symmetric": False,
        "array": [row["95 % to"] - row["test"] if one else 0.0 for row, one in zip(rows, known, strict=True)],
        "arrayminus": [row["test"] - row["95 % from"] if one else 0.0 for row, one in zip(rows, known, strict=True)],
        "color": colour,
        "thickness": 1.4,
        "width": 3,
    }


def _interval_notes(test: dict[str, Any]) -> list[str]:
    resampling = test.get("resampling")
    if resampling is None:
        return []
    notes = [f"Whiskers: 95 % intervals, {resampling['words']}."]
    if test["unreliable"]:
        notes.append(
            f"Warning: in too few test images for an interval to be relied on: {', '.join(test['unreliable'])}."
        )
    return notes
