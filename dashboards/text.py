"""Values and names as they are shown."""

import html
import math
from typing import Any

from search.records.study import StudyRecord

MINUTE_S = 60
HOUR_S = 3600


def shown(value: Any) -> str:
    """A value in few characters: four significant digits, YAML's words for truth and nothing."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case float() if math.isnan(value):
            return "undefined"
        case float():
            return f"{value:.4g}"
    return str(value)


def shown_score(value: float | None) -> str:
    """A metric's value with four decimals; nothing is rounded before it is shown."""
    if value is None:
        return "–"
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def shown_seconds(seconds: float) -> str:
    """A duration in its two largest units."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"


def counted(count: int, noun: str) -> str:
    """A number with its noun, as `1 pause` or `2 pauses`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def plotly_text(text: Any) -> str:
    """A text as plotly shows it verbatim: its labels are a small HTML."""
    return html.escape(str(text), quote=False).replace("\n", " ")


def broken_path(path: str, width: int = 14) -> str:
    """A dotted path as lines of about `width` characters, broken at its dots, for plotly."""
    lines = [""]
    for index, part in enumerate(path.split(".")):
        piece = part if index == 0 else f".{part}"
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append(piece)
        else:
            lines[-1] += piece
    return "<br>".join(map(plotly_text, lines))


def data_words(study: StudyRecord) -> str:
    """The split the metric is of and its number of images, as far as the study says."""
    split = study.facts.get("split")
    if split is None:
        return "split not recorded"
    images = study.facts.get("images", {}).get(split)
    return f"{split} split" if images is None else f"{split} split ({images} images)"


def hover(study: StudyRecord, number: int, value: float | None, *more: str) -> str:
    """The lines shown at a trial's point."""
    return "<br>".join(
        [f"<b>trial {number}</b>", f"{plotly_text(study.metric)} {shown_score(value)}", *map(plotly_text, more)]
    )
