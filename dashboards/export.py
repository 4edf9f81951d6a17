"""Figures as SVG or PDF files for a paper, drawn by the system's own Chromium without a window."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from dashboards.browser import Page, find_browser, open_page
from dashboards.frame import USUAL_WIDTH_PX
from dashboards.panel import ReportError

_SVG = "data:image/svg+xml,"
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_HEAD = f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
_PICTURES_ARE_THERE = "Promise.all([...document.querySelectorAll('image')].map((one) => one.decode())).then(() => true)"


def write_figures(figures: Mapping[str, go.Figure], folder: Path, kind: str) -> list[Path]:
    """Write each framed figure that shows anything as `folder`/KEY.`kind`, `kind` being `svg` or `pdf`.

    Text stays text in both. Returns the paths; raises ReportError where no browser is found, it fails, or the folder
    cannot be written.
    """
    browser = find_browser()
    shown = {key: figure for key, figure in figures.items() if figure.layout.meta["missing"] is None}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        with open_page(browser) as page:
            svgs = _svgs(page, shown)
            for key, svg in svgs.items():
                path = folder / f"{key.replace('/', '_')}.{kind}"
                path.write_bytes(svg.encode() if kind == "svg" else _pdf(page, svg, shown[key]))
                paths.append(path)
    except OSError as error:
        raise ReportError(f"cannot write figures to {folder}: {error.strerror}; choose another folder") from error
    return paths


def _svgs(page: Page, figures: Mapping[str, go.Figure]) -> dict[str, str]:
    page.show(f"{_HEAD}<body><script>{get_plotlyjs()}</script></body>")
    return {key: _svg(page, figure) for key, figure in figures.items()}


def _svg(page: Page, figure: go.Figure) -> str:
    sized = go.Figure(figure).update_layout(width=USUAL_WIDTH_PX)
    size = f"width: {USUAL_WIDTH_PX}, height: {figure.layout.height}"
    url = str(page.evaluate(f"Plotly.toImage({sized.to_json()}, {{format: 'svg', {size}}})"))
    return unquote(url.removeprefix(_SVG))


def _pdf(page: Page, svg: str, figure: go.Figure) -> bytes:
    page.show(f"{_HEAD}<style>html, body {{ margin: 0 }} svg {{ display: block }}</style><body>{svg}</body>")
    page.evaluate(_PICTURES_ARE_THERE)
    return page.pdf(USUAL_WIDTH_PX, figure.layout.height)
