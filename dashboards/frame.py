"""What all figures have in common: a title, what they show of how many trials, a theme, words for what is missing."""

import textwrap
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from dashboards.outcomes import count_outcomes
from dashboards.palette import GRID, INK, MUTED, SURFACE
from dashboards.text import data_words, plotly_text
from search.records.study import StudyRecord, TrialRecord

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LINE_PX = 18
LINE_CHARACTERS = 112
TITLE_PX = 40
EMPTY_PX = 160
USUAL_WIDTH_PX = 700
SIDES_PX, BOTTOM_PX = (12, 16), 12
# Up to so many whole numbers each has its tick.
FEW = 16

_AXIS = {
    "gridcolor": GRID,
    "linecolor": GRID,
    "zerolinecolor": GRID,
    "tickcolor": GRID,
    "tickfont": {"color": MUTED, "size": 12},
    "title": {"font": {"color": MUTED, "size": 13}, "standoff": 10},
    "automargin": True,
    "zeroline": False,
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "color": INK, "size": 13},
        "paper_bgcolor": SURFACE,
        "plot_bgcolor": SURFACE,
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {"font": {"color": INK, "size": 12}, "orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"bgcolor": SURFACE, "bordercolor": MUTED, "font": {"family": FONT, "color": INK, "size": 12}},
        "title": {"x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 12}, "font": {"size": 17}},
        "annotationdefaults": {"font": {"color": MUTED, "size": 12}, "showarrow": False},
    }
)


def epoch_axis(last: int) -> dict[str, Any]:
    """An axis of the epochs 1 to `last`, whose ticks are whole."""
    return {**whole_ticks(last), "range": [0.5, last + 0.5]}


def whole_ticks(last: int) -> dict[str, Any]:
    """The ticks of an axis of whole numbers that ends at `last`; Plotly's own would be halves where it is short."""
    return {"tickformat": "d", "dtick": 1 if last <= FEW else None, "nticks": 10}


def caption(study: StudyRecord, trials: Sequence[TrialRecord]) -> str:
    """Which trials a figure shows, of which metric on which split."""
    words = count_outcomes(trials)
    states = f" ({words})" if words else ""
    trials_word = "trial" if len(trials) == 1 else "trials"
    return f"{len(trials)} {trials_word}{states} · {study.metric} · {data_words(study)}"


def frame(
    figure: go.Figure,
    *,
    title: str,
    subtitle: str,
    alt: str,
    notes: Sequence[str] = (),
    height: int = 380,
    top: int = 16,
    min_width: int | None = None,
    aspect: float = 0.0,
    bottom: int = BOTTOM_PX,
) -> go.Figure:
    """Give a figure its title, subtitle and notes, theme and size.

    Sizes are pixels; `top` and `bottom` are the room above and below the axes, and `aspect` times the width is added to
    the height. Words and sizes are in `layout.meta` too, for a page that shows the words beside the figure and knows
    the width.
    """
    # A page wraps the words itself; here they have the usual width.
    lines = [
        line
        for words in (subtitle, *notes)
        for line in textwrap.wrap(words, LINE_CHARACTERS, break_on_hyphens=False) or [""]
    ]
    room = TITLE_PX + LINE_PX * len(lines)
    total = height + room + round(aspect * USUAL_WIDTH_PX)
    figure.update_layout(
        template=TEMPLATE,
        height=total,
        margin={"l": SIDES_PX[0], "r": SIDES_PX[1], "t": top + room, "b": bottom},
        title={
            "text": plotly_text(title),
            "subtitle": {"text": "<br>".join(map(plotly_text, lines)), "font": {"size": 12, "color": MUTED}},
            "yref": "container",
            "y": 1 - 22 / total,
        },
        meta={
            "title": title,
            "subtitle": subtitle,
            "notes": list(notes),
            "alt": alt,
            "missing": None,
            "height": height,
            "top": top,
            "min_width": min_width,
            "aspect": aspect,
        },
    )
    return figure


def missing(title: str, subtitle: str, why: str) -> go.Figure:
    """A figure that says what it would need to show anything."""
    figure = frame(go.Figure(), title=title, subtitle=subtitle, alt=why, height=EMPTY_PX)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(text=plotly_text(why), x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 14})
    figure.layout.meta = {**figure.layout.meta, "missing": why}
    return figure


def why_no_value(study: StudyRecord) -> str:
    """In words, why there is no trial to rank."""
    words = count_outcomes(study.trials)
    return f"No trial is complete yet: {words}." if words else "No trial has started yet."
