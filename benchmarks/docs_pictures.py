"""The pictures in docs/, of real studies through a real browser: python -m benchmarks.docs_pictures.

report.png, worst-images.png and dashboard.png are of one finished study: that of --workspace and --study, or else
`camvid-unet` on CamVid (or `terrain-demo`, where CamVid is not there), run in a scratch workspace first. pretrained.png
is of two studies that take an hour (docs/results.md, ImageNet weights against random ones): `python -m benchmarks.prove
pretrained` runs them and draws it, and --pretrained draws it again from their workspace.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.command import ROOT, contourney
from benchmarks.picture import save_picture
from benchmarks.prove_recipes import CURVES, draw_curves
from benchmarks.prove_studies import MOBILENET, RANDOM, UNET
from benchmarks.records import read_records
from dashboards.live.site import study_key

DEMO = "terrain-demo"
# Enough for importance without a warning.
TRIALS, EPOCHS = 16, 6
WIDTH_PX, HEIGHT_PX, FIGURE_WIDTH_PX = 1160, 1690, 860
LIMIT_MS = 120_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw all pictures of a study, or the one of two studies; prints the paths."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.docs_pictures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workspace", type=Path, metavar="DIR", help="with a finished study whose data are here")
    parser.add_argument("--study", default=UNET, help="its name")
    shared = Path(os.environ.get("CONTOURNEY_SHARED", ROOT.parent / "shared"))
    camvid = shared / "data" / "camvid"
    parser.add_argument("--data", type=Path, default=camvid, metavar="DIR", help="CamVid (default: %(default)s)")
    parser.add_argument("--pretrained", type=Path, metavar="DIR", help="draw pretrained.png alone, from this workspace")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", metavar="DIR", help="folder of the pictures")
    parsed = parser.parse_args(arguments)
    parsed.output.mkdir(parents=True, exist_ok=True)
    if parsed.pretrained is not None:
        paths = [_pretrained(parsed.pretrained, parsed.output)]
    elif parsed.workspace is not None:
        paths = _of_study(parsed.workspace, parsed.study, parsed.output)
    else:
        with tempfile.TemporaryDirectory(prefix="contourney-docs-") as scratch:
            paths = _of_study(Path(scratch), _run_study(Path(scratch), parsed.data), parsed.output)
    for path in paths:
        _shrink(path)
        print(f"{path} ({path.stat().st_size:,} bytes)")
    return 0


def _run_study(workspace: Path, data: Path) -> str:
    """Run a small study, on generated data where CamVid is not there; returns its name."""
    if data.is_dir():
        settings = ("--data", str(data), "--trials", str(TRIALS), "--set", f"trial.epochs={EPOCHS}")
        arguments = (UNET, *settings, "--set", "resources.workers=2")
    else:
        arguments = (DEMO,)
    print(contourney("launch", *arguments, "--workspace", str(workspace), "--quiet").must_exit(0).typed)
    return arguments[0]


def _of_study(workspace: Path, name: str, output: Path) -> list[Path]:
    report = output / ".report.html"
    page_of = ("report", name, "--worst-images", "--output", str(report))
    contourney(*page_of, "--workspace", str(workspace)).must_exit(0)
    paths = [output / one for one in ("report.png", "worst-images.png", "dashboard.png")]
    try:
        with sync_playwright() as playwright:
            executable = shutil.which("chromium") or playwright.chromium.executable_path
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
            _open(browser, report.as_uri()).screenshot(path=paths[0])
            page = _open(browser, report.as_uri(), width_px=FIGURE_WIDTH_PX)
            # The bar stays at the window's top, and so would stand across a figure that is higher.
            page.add_style_tag(content="nav { display: none }")
            page.locator("figure[aria-labelledby='extremes-compared-title']").screenshot(path=paths[1])
            with _dashboard(workspace) as address:
                _open(browser, f"{address}/study/{study_key(name)}").screenshot(path=paths[2])
            browser.close()
    finally:
        report.unlink()
    return paths


def _open(browser: Browser, address: str, width_px: int = WIDTH_PX) -> Page:
    page = browser.new_page(viewport={"width": width_px, "height": HEIGHT_PX}, color_scheme="light")
    page.goto(address)
    page.wait_for_selector("html[data-drawn]", timeout=LIMIT_MS)
    # On a live page figures come by themselves, the first ones first.
    page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 4", timeout=LIMIT_MS)
    return page


@contextmanager
def _dashboard(workspace: Path) -> Iterator[str]:
    """The address of the live pages, which are ended as by Ctrl-C."""
    command = [sys.executable, "-m", "studies.cli", "dashboard", "--port", "0", "--workspace", str(workspace)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield next(line for line in server.stdout if line.startswith("dashboard: ")).split()[1].rstrip("/")
        finally:
            server.send_signal(signal.SIGINT)


def _pretrained(workspace: Path, output: Path) -> Path:
    names = {"ImageNet weights": MOBILENET, "random weights": RANDOM}
    path = output / CURVES.name
    save_picture(draw_curves({words: read_records(workspace, name) for words, name in names.items()}), path, 1100, 420)
    return path


def _shrink(path: Path) -> None:
    """Write a PNG again with a palette of 256 colours, enough for figures and small photographs."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
