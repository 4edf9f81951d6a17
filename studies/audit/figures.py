"""The audit's charts: how frequent classes are, and how much of the images is unlabelled."""

import plotly.graph_objects as go

from dashboards.frame import frame, missing
from dashboards.palette import ACCENT, GRID, SECOND
from dashboards.text import plotly_text
from studies.audit.counting import BINS
from studies.audit.findings import Audit

CLASSES_TITLE = "Class frequencies"
UNLABELLED_TITLE = "Unlabelled pixels"
MARKS = {"train": (ACCENT, "circle"), "validation": (SECOND, "diamond-open")}


def draw_classes(audit: Audit) -> go.Figure:
    """Share of each class in the labelled pixels of training and validation, on a logarithmic scale."""
    rows = [row for row in audit.classes if row["train pixels"] or row["validation pixels"]]
    if not rows:
        return missing(CLASSES_TITLE, "training and validation", "No labelled pixel was read.")
    rows.sort(key=lambda row: row["train share"] or 0)
    figure = go.Figure()
    smallest = min(share for row in rows for split in MARKS if (share := row[f"{split} share"]))
    for split, (colour, symbol) in MARKS.items():
        shares = [row[f"{split} share"] or None for row in rows]
        if split == "train":
            for index, share in enumerate(shares):
                figure.add_shape(
                    type="line", x0=smallest / 2, x1=share or smallest / 2, y0=index, y1=index, layer="below",
                    line={"color": GRID, "width": 5},
                )  # fmt: skip
        figure.add_scatter(
            x=shares,
            y=list(range(len(rows))),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"width": 2, "color": colour}},
            name=split,
            hoverinfo="text",
            hovertext=[
                f"{plotly_text(row['class'])}, {split}: {row[f'{split} share'] or 0:.3%} of labelled pixels, "
                f"in {row[f'{split} images']} images"
                for row in rows
            ],
        )
    figure.update_xaxes(type="log", dtick="D2", tickformat=".2~%", title="share of labelled pixels (logarithmic)")
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[plotly_text(row["class"]) for row in rows],
        showgrid=False,
        range=[-0.6, len(rows) - 0.4],
    )
    figure.update_layout(showlegend=True, hovermode="closest")
    absent = {
        split: [
            row["class"] for row in audit.classes if row[f"{split} share"] is not None and not row[f"{split} pixels"]
        ]
        for split in MARKS
    }
    return frame(
        figure,
        title=CLASSES_TITLE,
        subtitle=f"share of labelled pixels · {_images(audit)}",
        notes=[f"Warning: no {split} pixel of {', '.join(names)}." for split, names in absent.items() if names],
        alt=f"{len(rows)} classes; the rarest in training is {rows[0]['class']}.",
        height=90 + 24 * len(rows),
        top=40,
    )


def draw_unlabelled(audit: Audit) -> go.Figure:
    """How many images have how large a share of ignored pixels."""
    found = audit.unlabelled
    if not found["images"]:
        return missing(UNLABELLED_TITLE, "training and validation", "No mask was read.")
    labels = [f"{100 * index // BINS}–{100 * (index + 1) // BINS} %" for index in range(BINS)]
    figure = go.Figure()
    figure.add_bar(
        x=labels,
        y=found["histogram"],
        marker={"color": ACCENT},
        hoverinfo="text",
        hovertext=[f"{count} images with {label}" for count, label in zip(found["histogram"], labels, strict=True)],
    )
    figure.update_xaxes(title="share of an image's pixels that count nowhere", showgrid=False)
    figure.update_yaxes(title="images", rangemode="tozero")
    figure.update_layout(bargap=0.08)
    return frame(
        figure,
        title=UNLABELLED_TITLE,
        subtitle=f"{found['mean']:.1%} of an image on average · {_images(audit)}",
        alt=f"Histogram over {found['images']} images.",
        height=260,
    )


def class_table(audit: Audit) -> list[dict[str, object]]:
    """The figures of the chart, shares in percent."""
    return [
        {"id": row["id"], "class": row["class"]}
        | {
            f"{split} {word}": (None if value is None else f"{value:.3%}") if word == "share" else value
            for split in MARKS
            for word in ("share", "images", "pixels")
            for value in (row[f"{split} {word}"],)
        }
        for row in audit.classes
    ]


def unlabelled_table(audit: Audit) -> list[dict[str, object]]:
    """Images by share of unlabelled pixels."""
    return [
        {"from": f"{100 * index // BINS} %", "to": f"{100 * (index + 1) // BINS} %", "images": count}
        for index, count in enumerate(audit.unlabelled["histogram"])
    ]


def _images(audit: Audit) -> str:
    return ", ".join(f"{audit.images[split]} {split} images" for split in ("train", "validation"))
