"""A figure as a page shows it, and what pages are made with: their templates, style and scripts."""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dashboards.palette import DARK
from dashboards.text import shown, shown_score

ASSETS = Path(__file__).with_name("page")
# A longer table belongs to a program, not a reader: the storage has it whole.
TABLE_ROWS = 400
SCORES = frozenset({"value", "best so far", "best", "final", "spread", "IoU", "validation", "test", "importance"})

Table = list[dict[str, Any]]


class ReportError(ValueError):
    """A page cannot be written as asked."""


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


def panel(key: str, figure: go.Figure, table: Table) -> Panel:
    """The panel of a framed figure and its table."""
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
        figure_json=safe_json(figure.to_json()),
        table=table[:TABLE_ROWS],
        left_out=max(0, len(table) - TABLE_ROWS),
        min_width=words["min_width"],
    )


def render_page(template: str, values: dict[str, Any], folders: Sequence[Path] = ()) -> str:
    """A page as HTML, from a template in `folders` or among the pages here; style, scripts and colours are given."""
    return (
        environment(folders)
        .get_template(template)
        .render(
            **values,
            dark=safe_json(json.dumps(DARK)),
            style=_asset("report.css"),
            script=_asset("report.js"),
            plotly=Markup(get_plotlyjs()),
        )
    )


def environment(folders: Sequence[Path] = ()) -> Environment:
    """Templates in `folders` or among the pages here; whatever they are given is escaped."""
    made = Environment(
        loader=FileSystemLoader([*folders, ASSETS]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["cell"] = _cell
    return made


def replace_file(output: Path, page: str) -> None:
    """Write a page, replacing what is there in one step; raises ReportError if it cannot be written."""
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


def safe_json(text: str) -> Markup:
    """JSON that cannot end the script element it stands in: names may hold any characters."""
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _asset(name: str) -> Markup:
    return Markup((ASSETS / name).read_text(encoding="utf-8"))


def _cell(value: Any, column: str) -> str:
    if value is None:
        return "–"
    return shown_score(value) if column in SCORES and isinstance(value, float) else shown(value)
