"""Rows of pictures under common headings, with one legend for all."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards.frame import USUAL_WIDTH_PX
from dashboards.palette import MUTED
from dashboards.text import plotly_text

# Room of a row's label, and between rows without one.
LABEL_PX, GAP_PX = 24, 8
# Beside the pictures: headings and a legend of a few lines.
AROUND_PX = 110


@dataclass(frozen=True)
class PictureRow:
    """Pictures as data URIs, one per column, and their common height in widths; `label` stands above them."""

    sources: tuple[str, ...]
    aspect: float
    label: str = ""


@dataclass(frozen=True)
class Grid:
    """A figure without its words, and its size as `frame` takes it."""

    figure: go.Figure
    height: int
    aspect: float


def picture_grid(rows: Sequence[PictureRow], columns: Sequence[str], entries: Sequence[tuple[str, str]]) -> Grid:
    """At least one row; `entries` are the legend's labels and colours."""
    aspect = sum(row.aspect for row in rows) / len(columns)
    gap_px = LABEL_PX if any(row.label for row in rows) else GAP_PX
    room_px = aspect * USUAL_WIDTH_PX + gap_px * len(rows)
    figure = make_subplots(
        rows=len(rows), cols=len(columns), horizontal_spacing=0.012, vertical_spacing=gap_px / room_px,
        row_heights=[row.aspect for row in rows],
    )  # fmt: skip
    for index, row in enumerate(rows, start=1):
        for column, source in enumerate(row.sources, start=1):
            figure.add_trace(go.Image(source=source, hoverinfo="skip"), row=index, col=column)
        if row.label:
            first = 1 + (index - 1) * len(columns)
            axis = "" if first == 1 else str(first)
            figure.add_annotation(
                text=plotly_text(row.label), xref=f"x{axis} domain", yref=f"y{axis} domain", x=0, y=1,
                xanchor="left", yanchor="bottom", showarrow=False,
            )  # fmt: skip
    bare = {"showticklabels": False, "ticks": "", "showgrid": False, "automargin": False}
    figure.update_xaxes(**bare)
    figure.update_yaxes(**bare)
    for column, heading in enumerate(columns, start=1):
        figure.add_annotation(
            text=plotly_text(heading), xref=f"x{column if column > 1 else ''} domain", yref="paper", x=0.5, y=1,
            yshift=LABEL_PX if rows[0].label else 2, xanchor="center", yanchor="bottom", showarrow=False,
            font={"size": 13},
        )  # fmt: skip
    for label, colour in entries:
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=plotly_text(label), hoverinfo="skip",
            marker={"symbol": "square", "size": 12, "color": colour, "line": {"color": MUTED, "width": 1}},
        )  # fmt: skip
    figure.update_layout(
        showlegend=True, legend={"y": 0, "yanchor": "top", "itemclick": False, "itemdoubleclick": False}
    )
    return Grid(figure, AROUND_PX + gap_px * len(rows), aspect)
