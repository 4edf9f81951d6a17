"""A Plotly figure as a PNG, through the browser of the tests."""

import shutil
import tempfile
from pathlib import Path

import plotly.graph_objects as go


def save_picture(figure: go.Figure, path: Path, width: int, height: int) -> None:
    """Write the figure, of this size in pixels; needs Debian's chromium or Playwright's own."""
    from playwright.sync_api import sync_playwright

    figure.update_layout(width=width, height=height, margin={"l": 60, "r": 20, "t": 60, "b": 50})
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "figure.html")
        figure.write_html(source, include_plotlyjs=True)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width + 16, "height": height + 16})
        page.goto(source.as_uri())
        page.locator(".main-svg").first.wait_for()
        page.screenshot(path=path)
        browser.close()
