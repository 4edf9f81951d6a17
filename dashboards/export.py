"""Figures as SVG or PDF files for a paper, drawn by the system's own Chromium without a window."""

import html
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from dashboards.frame import USUAL_WIDTH_PX
from dashboards.panel import ReportError, safe_json

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# The first start of a browser on a busy machine takes tens of seconds.
LIMIT_S = 300
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_DRAW = """
(async () => {
  for (const script of [...document.querySelectorAll("script.figure")]) {
    const {data, layout} = JSON.parse(script.textContent);
    const url = await Plotly.toImage({data, layout}, {format: "svg", width: layout.width, height: layout.height});
    const done = document.createElement("pre");
    done.id = script.dataset.key;
    done.textContent = url;
    script.replaceWith(done);
  }
})();
"""


def write_figures(figures: Mapping[str, go.Figure], folder: Path, kind: str) -> list[Path]:
    """Write each framed figure that shows anything as `folder`/KEY.`kind`, `kind` being `svg` or `pdf`.

    Text stays text in both. Returns the paths; raises ReportError where no browser is found, it fails, or the folder
    cannot be written.
    """
    browser = _browser()
    shown = {key: figure for key, figure in figures.items() if figure.layout.meta["missing"] is None}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="contourney-figures-") as temporary:
            svgs = _svgs(browser, shown, Path(temporary))
            paths = []
            for key, svg in svgs.items():
                path = folder / f"{key.replace('/', '_')}.{kind}"
                if kind == "svg":
                    path.write_text(svg, encoding="utf-8")
                else:
                    path.write_bytes(_pdf(browser, svg, shown[key], Path(temporary)))
                paths.append(path)
    except OSError as error:
        raise ReportError(f"cannot write figures to {folder}: {error.strerror}; choose another folder") from error
    return paths


def _browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise ReportError(
            f"SVG and PDF files are drawn by a browser, and none is here: expected one of {', '.join(BROWSERS)} on the "
            "PATH; install one (Debian: apt-get install chromium) or leave --figures out"
        )
    return found


def _svgs(browser: str, figures: Mapping[str, go.Figure], temporary: Path) -> dict[str, str]:
    """The SVG of each figure, all drawn by one start of the browser."""
    page = temporary / "figures.html"
    scripts = [
        f'<script type="application/json" class="figure" data-key="{html.escape(key)}">{_json(figure)}</script>'
        for key, figure in figures.items()
    ]
    page.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<body><script>{get_plotlyjs()}</script>{''.join(scripts)}<script>{_DRAW}</script></body>",
        encoding="utf-8",
    )
    text = _run(browser, temporary, page, "--dump-dom").decode()
    urls = re.findall(r'<pre id="([^"]*)">data:image/svg\+xml,([^<]*)</pre>', text)
    found = {html.unescape(key): unquote(html.unescape(url)) for key, url in urls}
    lost = [key for key in figures if key not in found]
    if lost:
        raise ReportError(f"{browser} drew no SVG of {', '.join(lost)}; try again, or another browser on the PATH")
    return {key: found[key] for key in figures}


def _pdf(browser: str, svg: str, figure: go.Figure, temporary: Path) -> bytes:
    page, output = temporary / "figure.html", temporary / "figure.pdf"
    page.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<style>@page {{ size: {USUAL_WIDTH_PX}px {figure.layout.height}px; margin: 0 }} "
        f"html, body {{ margin: 0 }} svg {{ display: block }}</style><body>{svg}</body>",
        encoding="utf-8",
    )
    _run(browser, temporary, page, f"--print-to-pdf={output}", "--no-pdf-header-footer")
    return output.read_bytes()


def _json(figure: go.Figure) -> str:
    return safe_json(go.Figure(figure).update_layout(width=USUAL_WIDTH_PX).to_json())


def _run(browser: str, temporary: Path, page: Path, *arguments: str) -> bytes:
    command = [browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    # A profile of its own: one that a user's open browser holds would be refused.
    command += [f"--user-data-dir={temporary / 'profile'}", "--virtual-time-budget=60000"]
    if os.geteuid() == 0:
        # Chromium refuses to start as root with its sandbox; the page is ours and may load nothing.
        command.append("--no-sandbox")
    try:
        done = subprocess.run([*command, *arguments, page.as_uri()], capture_output=True, timeout=LIMIT_S, check=True)
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ReportError(f"{browser} failed with exit code {error.returncode}: {' '.join(last)}") from error
    except subprocess.TimeoutExpired as error:
        raise ReportError(f"{browser} drew nothing within {LIMIT_S} s") from error
    return done.stdout
