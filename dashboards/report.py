"""A study as one HTML page that opens offline: every figure with its words and its table."""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dashboards.figures.best import best_table
from dashboards.figures.class_iou import class_iou_table, draw_class_iou
from dashboards.figures.curves import curves_table, draw_curves
from dashboards.figures.history import draw_history, history_table
from dashboards.figures.importance import draw_importance, importance_table
from dashboards.figures.parallel import draw_parallel, parallel_table
from dashboards.figures.pictures import draw_pictures, pictures_table
from dashboards.figures.promotion import draw_promotion, promotion_table
from dashboards.figures.slice import draw_slice, slice_table
from dashboards.frame import caption, why_no_value
from dashboards.outcomes import Outcome, outcome, ranked
from dashboards.palette import DARK
from dashboards.parameters import parameter_axes
from dashboards.summary import data_table, failure_table, headline_table, state_table
from dashboards.text import shown, shown_score
from search.records.study import StudyRecord

ASSETS = Path(__file__).with_name("page")
# A longer table belongs to a program, not a reader: the storage has it whole.
TABLE_ROWS = 400
SCORES = frozenset({"value", "best so far", "best", "final", "spread", "IoU", "validation", "test", "importance"})

Table = list[dict[str, Any]]


class ReportError(ValueError):
    """A report cannot be written as asked."""


@dataclass(frozen=True)
class Panel:
    """A figure as the page needs it: its words, its JSON without them, its table."""

    id: str
    title: str
    subtitle: str
    notes: list[str]
    alt: str
    missing: str | None
    figure_json: Markup
    table: Table
    left_out: int
    min_width: int | None


_FIGURES: dict[str, tuple[Callable[[StudyRecord], go.Figure], Callable[[StudyRecord], Table]]] = {
    "promotion": (draw_promotion, promotion_table),
    "history": (draw_history, history_table),
    "importance": (draw_importance, importance_table),
    "parallel": (draw_parallel, parallel_table),
    "curves": (draw_curves, curves_table),
    "class-iou": (draw_class_iou, class_iou_table),
    "pictures": (draw_pictures, pictures_table),
}


def write_report(study: StudyRecord, output: Path) -> None:
    """Write the report, replacing what is there in one step; raises ReportError if it cannot be written."""
    page = render_report(study)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.", suffix=".tmp")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(page)
            os.chmod(temporary, 0o644)
            os.replace(temporary, output)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise ReportError(
            f"cannot write the report {output}: {error.strerror}; choose another place with --output"
        ) from error


def render_report(study: StudyRecord) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    panels = {key: _panel(key, draw(study), table(study)) for key, (draw, table) in _FIGURES.items()}
    slices = [
        _panel(f"slice-{index}", draw_slice(study, path, legend=False), slice_table(study, path))
        for index, path in enumerate(parameter_axes(study))
    ]
    with_value = [trial for trial in study.trials if trial.value is not None]
    return environment.get_template("report.html.j2").render(
        study=study,
        headline=headline_table(study),
        states=state_table(study),
        data=data_table(study),
        failures=failure_table(study),
        best=best_table(study),
        best_caption=caption(study, ranked(study)),
        no_best=why_no_value(study),
        panels=panels,
        slices=slices,
        slices_caption=caption(study, with_value),
        marks=[(one.value, DARK[one.value.colour]) for one in Outcome if one in map(outcome, with_value)],
        dark=_safe_json(json.dumps(DARK)),
        style=_asset("report.css"),
        script=_asset("report.js"),
        plotly=Markup(get_plotlyjs()),
    )


def _panel(key: str, figure: go.Figure, table: Table) -> Panel:
    words = figure.layout.meta
    # The page says these in HTML, where they wrap and are read aloud.
    figure.update_layout(title=None, height=words["height"] + words["top"], margin_t=words["top"])
    return Panel(
        id=key,
        title=words["title"],
        subtitle=words["subtitle"],
        notes=words["notes"],
        alt=words["alt"],
        missing=words["missing"],
        figure_json=_safe_json(figure.to_json()),
        table=table[:TABLE_ROWS],
        left_out=max(0, len(table) - TABLE_ROWS),
        min_width=words["min_width"],
    )


def _safe_json(text: str) -> Markup:
    """JSON that cannot end the script element it stands in: names may hold any characters."""
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _asset(name: str) -> Markup:
    return Markup((ASSETS / name).read_text(encoding="utf-8"))


def _cell(value: Any, column: str) -> str:
    if value is None:
        return "–"
    return shown_score(value) if column in SCORES and isinstance(value, float) else shown(value)
