"""How fast the live pages of a large study are: python -m benchmarks.dashboard [--trials N] [--epochs E] [--classes C].

The pages are served by `contourney dashboard` in a process of its own and opened in Chromium, Plotly's script being in
its cache as after a first visit. Claims: first paint within a second and a megabyte, a drill-down within 200 ms, and a
gigabyte of memory.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import optuna
from playwright.sync_api import Page, sync_playwright

from benchmarks.large_study import NAME, write_large_study
from benchmarks.measure import RESULTS, hardware, today, versions
from dashboards.live.pages import study_key

FIRST_PAINT_S, FIRST_BYTES, DRILL_S, MEMORY_BYTES = 1.0, 1_000_000, 0.2, 1_000_000_000
DRILLS = 20


@dataclass(frozen=True)
class Found:
    """Seconds and bytes: until the records are in memory, something is painted, the first figure is drawn; of a trial's
    page with its curves, of each figure, of the question that finds one more epoch; the server's peak memory.
    """

    build_s: float
    first_paint_s: float
    first_figure_s: float
    first_bytes: int
    drill_median_s: float
    drill_slowest_s: float
    figures_s: dict[str, float]
    update_s: float
    memory_bytes: int

    @property
    def claims(self) -> dict[str, bool]:
        """What the issue of speed asks for."""
        return {
            f"first paint within {FIRST_PAINT_S} s": self.first_paint_s <= FIRST_PAINT_S,
            f"first page within {FIRST_BYTES} bytes": self.first_bytes <= FIRST_BYTES,
            f"a drill-down within {DRILL_S} s": self.drill_slowest_s <= DRILL_S,
            f"memory within {MEMORY_BYTES} bytes": self.memory_bytes <= MEMORY_BYTES,
        }


def measure(root: Path, trials: int) -> Found:
    """Serve the study below `root` and look at it."""
    command = [sys.executable, "-m", "studies.cli", "dashboard", "--port", "0", "--workspace", str(root)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = next(line for line in server.stdout if line.startswith("dashboard: ")).split()[1].rstrip("/")
        study = f"{address}/study/{study_key(NAME)}"
        try:
            _get(f"{study}/changes")
            build_s = time.perf_counter() - started
            with sync_playwright() as playwright:
                executable = shutil.which("chromium") or playwright.chromium.executable_path
                browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(address)
                painted, drawn, size = _first(page, study)
                browser.close()
            every = range(0, trials, max(1, trials // DRILLS))
            drills = [_drill(study, number) for number in every]
            figures = {key: round(_get(f"{study}/figure/{key}"), 3) for key in _figures(study)}
            update_s = _update(root, study, trials - 1)
            memory = _peak_bytes(server.pid)
        finally:
            server.terminate()
    return Found(build_s, painted, drawn, size, statistics.median(drills), max(drills), figures, update_s, memory)


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate the study, look at it, and keep the result; a claim that does not hold is shown, no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--classes", type=int, default=37)
    parser.add_argument("--root", type=Path, help="a folder that holds the generated study already, or is to keep it")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    parsed = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        root = parsed.root or Path(scratch)
        if not (root / "optuna.journal").exists():
            root.mkdir(parents=True, exist_ok=True)
            write_large_study(root, parsed.trials, parsed.epochs, parsed.classes)
        found = measure(root, parsed.trials)
    result: dict[str, Any] = {
        "command": f"python -m benchmarks.dashboard --trials {parsed.trials} --epochs {parsed.epochs} "
        f"--classes {parsed.classes}",
        "hardware": hardware(),
        "date": today(),
        "load": round(load, 1),
        "versions": versions(("optuna", "plotly", "starlette", "uvicorn", "playwright")),
        **asdict(found),
        "claims": found.claims,
    }
    path = parsed.output / f"dashboard_{today()}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    print(path)
    return 0


def _first(page: Page, study: str) -> tuple[float, float, int]:
    """Seconds until something and until the first figure is seen, and bytes that came for it beside Plotly's script."""
    sizes: list[int] = []

    def count(request: Any) -> None:
        if "plotly.js" not in request.url:
            found = request.sizes()
            sizes.append(found["responseBodySize"] + found["responseHeadersSize"])

    page.on("requestfinished", count)
    started = time.perf_counter()
    page.goto(study, wait_until="commit")
    page.wait_for_selector("#history .main-svg")
    drawn = time.perf_counter() - started
    page.wait_for_selector("html[data-drawn]")
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return float(painted) / 1000, drawn, sum(sizes)


def _drill(study: str, number: int) -> float:
    """Seconds of a trial's page with its curves."""
    return _get(f"{study}/trial/{number}") + _get(f"{study}/trial/{number}/figure/curves")


def _figures(study: str) -> list[str]:
    with urlopen(study, timeout=600) as answer:
        parts = answer.read().decode().split(f'data-figure="{study[study.index("/study/") :]}/figure/')[1:]
    return [part.partition('"')[0] for part in parts]


def _get(url: str) -> float:
    started = time.perf_counter()
    with urlopen(url, timeout=600) as answer:
        answer.read()
    return time.perf_counter() - started


def _update(root: Path, study: str, number: int) -> float:
    """Seconds of the question that reads one more epoch of a running trial."""
    with (root / "optuna.journal").open("a", encoding="utf-8") as journal:
        record = {"op_code": 7, "worker_id": "benchmark", "trial_id": number, "step": 10_000, "intermediate_value": 0.5}
        journal.write(json.dumps(record) + "\n")
    return _get(f"{study}/changes")


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.exit(main())
