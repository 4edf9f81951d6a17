"""Confusion matrix of the promoted evaluation on the test split: of each class's pixels, what they were taken for."""

from typing import Any

import plotly.graph_objects as go

from dashboards.frame import frame, missing
from dashboards.palette import RAMP, SURFACE
from dashboards.text import plotly_text
from search.records.study import StudyRecord

TITLE = "Confusion on the test split"
# A smaller share is left blank, so that the large ones are found.
SHOWN_FROM = 0.005
MANY_CLASSES = 12


def confusion_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per target and predicted class that share pixels: target, prediction, pixels, share of the target's.

    Rows by target in the data's order, then by pixels. Empty where nothing was promoted or the record is an older
    one, without a matrix.
    """
    names, matrix = _matrix(study)
    rows: list[dict[str, Any]] = []
    for target, counts in zip(names, matrix, strict=True):
        total = sum(counts)
        rows += [
            {"target": target, "prediction": name, "pixels": count, "share of target": count / total}
            for count, name in sorted(zip(counts, names, strict=True), key=lambda pair: -pair[0])
            if count
        ]
    return rows


def draw_confusion(study: StudyRecord) -> go.Figure:
    """A heat map with a row per target class, normalised by row: the diagonal is each class's recall."""
    record = study.facts.get("promotion")
    if record is None:
        return missing(TITLE, study.metric, "This study has not been promoted: the test split was not opened.")
    test = record["test"]
    subtitle = f"trial {record['trial']}, epoch {record['epoch']} · test split ({test['images']} images) · pixels"
    names, matrix = _matrix(study)
    if not names:
        return missing(TITLE, subtitle, "This promotion's record has no confusion matrix.")
    shares = [[count / sum(row) if sum(row) else None for count in row] for row in matrix]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            text=[[_cell(share) for share in row] for row in shares],
            texttemplate="%{text}",
            textfont={"size": 11 if len(names) <= MANY_CLASSES else 9},
            hoverinfo="text",
            hovertext=[
                [
                    f"<b>{plotly_text(target)}</b> as <b>{plotly_text(name)}</b><br>{count:,} of {sum(row):,} pixels"
                    for name, count in zip(names, row, strict=True)
                ]
                for target, row in zip(names, matrix, strict=True)
            ],
            colorscale=[[0.0, SURFACE], *([(1 + index) / len(RAMP), one] for index, one in enumerate(RAMP))],
            zmin=0.0,
            zmax=1.0,
            xgap=1,
            ygap=1,
            showscale=False,
        )
    )
    labels = {"tickvals": list(range(len(names))), "ticktext": list(map(plotly_text, names)), "showgrid": False}
    figure.update_xaxes(**labels, side="top", title="prediction", tickangle=-90 if len(names) > 6 else 0)
    figure.update_yaxes(**labels, autorange="reversed", title="target")
    wrong = [row for row in confusion_table(study) if row["target"] != row["prediction"]]
    most = max(wrong, key=lambda row: row["pixels"], default=None)
    worst = max(wrong, key=lambda row: row["share of target"], default=None)
    words = [
        f"Most pixels: {most['target']} taken for {most['prediction']} ({most['pixels']:,}); largest share: "
        f"{worst['share of target']:.0%} of {worst['target']} for {worst['prediction']}."
        if most is not None and worst is not None
        else "No pixel is wrong."
    ]
    empty = [name for name, row in zip(names, matrix, strict=True) if not sum(row)]
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=[
            "Rows are normalised: of a target class's counted pixels, the share taken for each class.",
            *words,
            *([f"Without a pixel in this split: {', '.join(empty)}."] if empty else []),
        ],
        alt=f"Confusion matrix of {len(names)} classes. {words[0]}",
        height=80 + 30 * len(names),
        top=140 if len(names) > 6 else 70,
        min_width=46 * len(names) + 160,
    )


def _matrix(study: StudyRecord) -> tuple[list[str], list[list[int]]]:
    """Names and counts, rows target; both empty where not recorded."""
    test = study.facts.get("promotion", {}).get("test", {})
    matrix = test.get("confusion")
    return ([], []) if matrix is None else (list(test["iou"]), matrix)


def _cell(share: float | None) -> str:
    return f"{share:.0%}" if share is not None and share >= SHOWN_FROM else ""
