"""How fast the live pages of a large study are: python -m benchmarks.run dashboard; of other sizes it is
python -m benchmarks.dashboard [--trials N] [--epochs E] [--classes C].

The pages are served by `contourney dashboard` in processes of its own: the first builds the index, the second starts
with it. That one is opened in Chromium, Plotly's script being in its cache as after a first visit.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import optuna
from playwright.sync_api import Page, sync_playwright

from benchmarks.large_study import NAME, write_large_study
from benchmarks.measure import Comparison
from dashboards.live.site import study_key

TRIALS, EPOCHS, CLASSES = 10_000, 100, 37
FIRST_PAINT_S, FIRST_BYTES, DRILL_S, MEMORY_BYTES = 1.0, 1_000_000, 0.2, 1_000_000_000
DRILLS = 20


@dataclass(frozen=True)
class Found:
    """Seconds and bytes.

    Until the pages are served by a process that builds the index and by one that finds it; until something is painted
    and the first figure is drawn; of a trial's page with its curves, of each figure, of the question that finds one
    more epoch. The peak memory is that of the larger of the two processes.
    """

    load: float
    build_s: float
    start_s: float
    index_bytes: int
    first_paint_s: float
    first_figure_s: float
    first_bytes: int
    drill_median_s: float
    drill_slowest_s: float
    figures_s: dict[str, float]
    update_s: float
    memory_building_bytes: int
    memory_bytes: int

    @property
    def claims(self) -> dict[str, bool]:
        """Each limit in words with what came, and whether it was kept."""
        memory = max(self.memory_building_bytes, self.memory_bytes)
        return {
            f"first paint {self.first_paint_s:.2f} s of at most {FIRST_PAINT_S:.0f} s": self.first_paint_s
            <= FIRST_PAINT_S,
            f"first page {self.first_bytes / 1e6:.3f} MB of at most {FIRST_BYTES / 1e6:.0f} MB": self.first_bytes
            <= FIRST_BYTES,
            f"slowest of {DRILLS} drill-downs {self.drill_slowest_s * 1000:.0f} ms of at most "
            f"{DRILL_S * 1000:.0f} ms": self.drill_slowest_s <= DRILL_S,
            f"memory {memory / 1e9:.2f} GB of at most {MEMORY_BYTES / 1e9:.0f} GB": memory <= MEMORY_BYTES,
        }


@dataclass(frozen=True)
class Served:
    """A running dashboard: where its study is, its process, seconds from its start until it answered."""

    study: str
    pid: int
    started_s: float

    @property
    def address(self) -> str:
        """Where the page of all studies is."""
        return self.study.partition("/study/")[0]


def compare() -> Comparison:
    """The claims at full size."""
    with tempfile.TemporaryDirectory() as scratch:
        write_large_study(Path(scratch), TRIALS, EPOCHS, CLASSES)
        found = measure(Path(scratch), TRIALS)
    return Comparison(
        theme="dashboard",
        what=f"Dashboard of {TRIALS:,} trials of {EPOCHS} epochs and {CLASSES} classes: a start with the index against "
        "one that builds it",
        unit="s",
        ours=(found.start_s,),
        peer=(found.build_s,),
        claim="first paint within 1 s and 1 MB, a drill-down within 200 ms, memory within 1 GB",
        holds=all(found.claims.values()),
        packages=("optuna", "plotly", "starlette", "uvicorn", "playwright"),
        notes=(
            *(f"- {words}: {'holds' if holds else 'does not hold'}" for words, holds in found.claims.items()),
            f"- drill-down median {found.drill_median_s * 1000:.0f} ms; one more epoch is found in "
            f"{found.update_s * 1000:.0f} ms; load of the machine before: {found.load:.1f}, "
            f"at nice {os.nice(0)}",
            f"- index of {found.index_bytes / 1e6:.0f} MB, built in {found.build_s:.0f} s",
            "",
            "Ours and peer are seconds from the command until its first answer, importing included: with the index,",
            "and without it, where all of Optuna's journal and all rows are read. First paint and bytes are of the",
            "study's page in Chromium without Plotly's script, which its cache has; a drill-down is a trial's page",
            "with its curves; memory is the peak of the larger of the two processes.",
        ),
        details=asdict(found),
    )


def measure(root: Path, trials: int) -> Found:
    """Serve the study below `root` twice and look at it."""
    load = os.getloadavg()[0]
    with _served(root) as served:
        build_s, memory_building = served.started_s, _peak_bytes(served.pid)
    with _served(root) as served:
        with sync_playwright() as playwright:
            executable = shutil.which("chromium") or playwright.chromium.executable_path
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(served.address)
            painted, drawn, size = _first(page, served.study)
            browser.close()
        every = range(0, trials, max(1, trials // DRILLS))
        drills = [_drill(served.study, number) for number in every]
        figures = {key: round(_get(f"{served.study}/figure/{key}"), 3) for key in _figures(served.study)}
        return Found(
            load=round(load, 1),
            build_s=build_s,
            start_s=served.started_s,
            index_bytes=sum(path.stat().st_size for path in (root / "cache").glob("records-*.sqlite")),
            first_paint_s=painted,
            first_figure_s=drawn,
            first_bytes=size,
            drill_median_s=statistics.median(drills),
            drill_slowest_s=max(drills),
            figures_s=figures,
            update_s=_update(root, served.study, trials - 1),
            memory_building_bytes=memory_building,
            memory_bytes=_peak_bytes(served.pid),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate a study of any size, look at it, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--classes", type=int, default=CLASSES)
    parsed = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        write_large_study(Path(scratch), parsed.trials, parsed.epochs, parsed.classes)
        found = measure(Path(scratch), parsed.trials)
    print(json.dumps({**asdict(found), "claims": found.claims}, indent=2))
    return 0


@contextmanager
def _served(root: Path) -> Iterator[Served]:
    """The dashboard of a workspace, which is ended as by Ctrl-C."""
    command = [sys.executable, "-m", "studies.cli", "dashboard", "--port", "0", "--workspace", str(root)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(line for line in server.stdout if line.startswith("dashboard: ")).split()[1].rstrip("/")
            study = f"{address}/study/{study_key(NAME)}"
            _get(f"{study}/changes")
            yield Served(study, server.pid, time.perf_counter() - started)
        finally:
            server.send_signal(signal.SIGINT)


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
