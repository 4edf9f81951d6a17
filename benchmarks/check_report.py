"""What must hold of a report: one file that opens offline, with every figure and every searched parameter."""

import html
import re
from collections.abc import Collection
from pathlib import Path

from benchmarks.expect import expect, expect_that

FIGURES = ("history", "importance", "parallel", "curves", "class-iou", "pictures")
# Attributes and functions that would fetch something.
FETCHES = re.compile(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*["'](?:https?:)?//""", re.IGNORECASE)


def check_report(path: Path, parameters: Collection[str], counts: dict[str, int]) -> int:
    """Every figure is drawn, importance and a panel of its own speak of every parameter; returns the size in bytes."""
    page = path.read_text(encoding="utf-8")
    expect("addresses that the report fetches", FETCHES.findall(page), [])
    for figure in FIGURES:
        expect_that(drawn(page, figure) is not None, f"the figure {figure!r} in {path}", "none or an empty one")
    importance = drawn(page, "importance") or ""
    # Parameters of conditions have panels too.
    panels = [drawn(page, figure) or "" for figure in re.findall(r'data-for="(slice-\d+)"', page)]
    for parameter in parameters:
        expect_that(parameter in importance, f"{parameter} among the importances", "no mention of it")
        expect_that(any(parameter in panel for panel in panels), f"a panel of {parameter}", "none")
    words = html.unescape(re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    for state, count in ((state, count) for state, count in counts.items() if count):
        found = re.search(rf"{count}\s*(?:<[^>]+>\s*)*{state}|{state}\s*(?:<[^>]+>\s*)*{count}\b", words, re.IGNORECASE)
        expect_that(found is not None, f"{count} {state} in the report", "another count")
    return len(page.encode())


def drawn(page: str, figure: str) -> str | None:
    """The JSON of a figure of the page, None where it is missing."""
    found = re.search(rf'data-for="{re.escape(figure)}">(.*?)</script>', page, re.DOTALL)
    return found.group(1) if found else None
