"""Rows of pictures under common headings, with one legend for all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboards.frame import SIDES_PX, USUAL_WIDTH_PX
from dashboards.palette import MUTED
from dashboards.text import plotly_text

# Room of a row's label, and between rows without one.
LABEL_PX, GAP_PX = 24, 8
# Of the width, between two columns.
BETWEEN = 0.012
# The legend below: how many entries fit on a line of a narrow figure, and a line's height.
ENTRIES, LINE_PX = 4, 20


@dataclass(frozen=True)
class PictureRow:
    """Pictures as data URIs, one per column, and their common height in widths; `label` stands above them."""

    sources: tuple[str, ...]
    aspect: float
    label: str = ""


@dataclass(frozen=True)
class Grid:
    """A figure without its words, and its size as `frame` takes it; `bottom` is the legend's room."""

    figure: go.Figure
    height: int
    aspect: float
    bottom: int


def picture_grid(rows: Sequence[PictureRow], columns: Sequence[str], entries: Sequence[tuple[str, str]]) -> Grid:
    """At least one row; `entries` are the legend's labels and colours.

    The pictures are images of the layout: axes for each would take a browser seconds.
    """
    gap_px = LABEL_PX if any(row.label for row in rows) else GAP_PX
    bottom = 16 + LINE_PX * math.ceil(len(entries) / ENTRIES)
    width = (1 - BETWEEN * (len(columns) - 1)) / len(columns)
    aspect = width * sum(row.aspect for row in rows)
    across_px = USUAL_WIDTH_PX - sum(SIDES_PX)
    down_px = aspect * across_px + gap_px * (len(rows) - 1)
    figure = go.Figure()
    y = 1.0
    for row in rows:
        high = row.aspect * width * across_px / down_px
        for column, source in enumerate(row.sources):
            figure.add_layout_image(
                source=source, xref="paper", yref="paper", x=column * (width + BETWEEN), y=y, sizex=width, sizey=high,
                xanchor="left", yanchor="top", sizing="contain", layer="above",
            )  # fmt: skip
        if row.label:
            _write(figure, row.label, x=0, y=y)
        y -= high + gap_px / down_px
    for column, heading in enumerate(columns):
        _write(figure, heading, x=column * (width + BETWEEN), y=1, yshift=LABEL_PX if rows[0].label else 2, size=13)
    for label, colour in entries:
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=plotly_text(label), hoverinfo="skip",
            marker={"symbol": "square", "size": 12, "color": colour, "line": {"color": MUTED, "width": 1}},
        )  # fmt: skip
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_layout(
        showlegend=True,
        legend={"yref": "container", "y": 0, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False},
        dragmode=False,
    )
    height = gap_px * (len(rows) - 1) + bottom - round(aspect * sum(SIDES_PX))
    return Grid(figure, height, aspect, bottom)


def _write(figure: go.Figure, text: str, x: float, y: float, yshift: int = 0, size: int = 12) -> None:
    """Text whose lower left corner is at a place of the paper."""
    figure.add_annotation(
        text=plotly_text(text), xref="paper", yref="paper", x=x, y=y, yshift=yshift,
        xanchor="left", yanchor="bottom", showarrow=False, font={"size": size},
    )  # fmt: skip
