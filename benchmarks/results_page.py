"""The page of results: sections that are proved are written anew, the others stay as they are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import RESULTS, hardware, today, versions

PACKAGES = ("torch", "ray", "optuna", "mlflow", "segmentation-models-pytorch", "timm", "albumentations")
HEAD = """# Results

Every figure here was written by the command beside it. `make prove` runs all sections at full size on the data of
`CONTOURNEY_SHARED` (default: `../shared` beside the checkout) and writes this page; `make prove ARGS="SECTION ..."`
runs some of them. CAMVID, WEIGHTS, WORKSPACE and CHECKOUT stand for the places of that run.
`make bench` writes the files that the last section quotes. Seconds are wall time.
"""


@dataclass(frozen=True)
class Figure:
    """A row of a section: what was measured or checked, what came, and the command that gave it."""

    what: str
    came: str
    command: str


@dataclass(frozen=True)
class Block:
    """A table of its own below the rows of a section, in Markdown."""

    text: str


def write_page(path: Path, order: Mapping[str, str], proved: Mapping[str, Sequence[Figure | Block]]) -> None:
    """Write the page: sections in `order` (name -> title), those in `proved` anew, others as the page has them."""
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    parts = [HEAD]
    for name, title in order.items():
        text = _section(title, proved[name]) if name in proved else _kept(old, name)
        if text:
            parts.append(f"<!-- {name} -->\n{text}<!-- end {name} -->\n")
    if benchmarks := _benchmarks(RESULTS):
        parts.append(benchmarks)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts), encoding="utf-8")


def _section(title: str, parts: Sequence[Figure | Block]) -> str:
    figures = [one for one in parts if isinstance(one, Figure)]
    rows = [f"| {_cell(one.what)} | {_cell(one.came)} | `{_cell(one.command)}` |" for one in figures]
    rows += [line for one in parts if isinstance(one, Block) for line in ("", one.text.strip())]
    head = ["| what | came | command |", "|---|---|---|"]
    return "\n".join([f"## {title}", "", f"{today()}; {hardware()}; {versions(PACKAGES)}.", "", *head, *rows, "", ""])


def _kept(page: str, name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end {name} -->", page, re.DOTALL)
    return found.group(1) if found else ""


def _benchmarks(folder: Path) -> str:
    """The newest result of each theme, as its own file tells it."""
    newest: dict[str, Path] = {}
    for path in sorted(folder.glob("*_*_*.md"), key=lambda path: path.stem.rsplit("_", 1)[1]):
        newest[path.stem.split("_", 1)[0]] = path
    parts = ["## Benchmarks", ""]
    for path in newest.values():
        lines = path.read_text(encoding="utf-8").splitlines()
        facts = [line for line in lines if line.startswith("- ")]
        parts += [
            f"### {lines[0].removeprefix('# ')}",
            "",
            *facts,
            f"- all pairs: `benchmarks/results/{path.name}`",
            "",
        ]
    return "\n".join(parts) if newest else ""


def _cell(text: str) -> str:
    return "<br>".join(text.replace("|", "\\|").splitlines())
