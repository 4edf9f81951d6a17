"""A large study in one process, on tabulated curves: what the control loop waits for as the study grows.

    python -m benchmarks.scale [--trials N] [--workers W]

No Ray and no training: the bridge, TPE, successive halving and a real journal. Every trial reports all of its epochs,
and the pruner is asked at each and told to spare the trial (`audit: 1`), which is the dearest that a study can be.
"""

import argparse
import csv
import math
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmarks.measure import RESULTS, hardware, today, versions
from benchmarks.picture import save_picture
from search.bridge import Bridge, Rules
from search.budget import Budget
from search.pruners import Horizon, build_pruner
from search.samplers import build_sampler
from search.space import Space
from search.space_settings import ParameterSettings
from search.storage import open_storage

EPOCHS, STEP = 10, 250
MOST_ASK_S = 0.05
DECLARED = {
    "optimizer.lr": ParameterSettings(low=1e-5, high=1e-1, log=True),
    "optimizer.weight_decay": ParameterSettings(low=1e-6, high=1e-2, log=True),
    "model.width": ParameterSettings(low=8, high=64, step=8),
    "model.unfreeze": ParameterSettings(choices=("decoder", "stage4", "stage3", "all")),
    "augment.set": ParameterSettings(choices=("none", "flips", "indoor")),
    "augment.strength": ParameterSettings(low=0.0, high=1.5, when={"augment.set": ("flips", "indoor")}),
}
KINDS = dict.fromkeys(DECLARED, float) | {"model.width": int, "model.unfreeze": str, "augment.set": str}
FIXED = {"augment": {"set": "none", "strength": 1.0}}


class Silent:
    """A recorder and listener of nothing."""

    def opened(self, number: int, values: Mapping[str, Any]) -> None: ...

    def run_id(self, number: int, *, wait: bool) -> str | None:
        return "none"

    def epoch(self, number: int, row: Mapping[str, Any]) -> None: ...

    def closed(self, number: int, state: object, reason: object) -> None: ...

    def on_trial(self, number: int, reason: object, values: Mapping[str, Any]) -> None: ...

    def on_epoch(self, number: int, epoch: int, value: float | None) -> None: ...


@dataclass
class Window:
    """What the loop waited for while the study grew by STEP trials."""

    trials: int
    ask_s: list[float] = field(default_factory=list)
    report_s: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    memory_mib: float = 0.0

    def line(self) -> dict[str, float]:
        """Its figures, times in milliseconds."""
        return {
            "trials": self.trials,
            "ask_p50_ms": 1e3 * statistics.median(self.ask_s),
            "ask_p95_ms": 1e3 * quantile(self.ask_s, 0.95),
            "report_p50_ms": 1e3 * statistics.median(self.report_s),
            "report_p95_ms": 1e3 * quantile(self.report_s, 0.95),
            "wall_s": self.wall_s,
            "memory_mib": self.memory_mib,
        }


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    return sorted(values)[min(len(values) - 1, math.floor(share * len(values)))]


def value_at(values: Mapping[str, Any], epoch: int) -> float:
    """A saturating curve with a little noise."""
    quality = 0.8 - 0.1 * abs(math.log10(values["optimizer.lr"]) + 3) - 0.1 * (values["augment.set"] == "none")
    noise = random.Random(repr(sorted(values.items())) + str(epoch)).gauss(0.0, 0.01)
    return quality * (1 - math.exp(-epoch / 3)) + noise


def simulate(trials: int, workers: int, journal: Path) -> list[Window]:
    """Run the study as Ray's control loop does: it asks when a worker is free, and listens while a trial is drawn."""
    study = optuna.create_study(
        study_name="scale", storage=open_storage(str(journal), write=True), direction="maximize"
    )
    space = Space.declare(DECLARED, KINDS)
    study.sampler = build_sampler("tpe", {}, seed=0, asked=0, distributions=space.distributions)
    study.pruner = build_pruner("successive_halving", {}, Horizon(EPOCHS))
    silent = Silent()
    bridge = Bridge(
        study,
        space,
        FIXED,
        rules=Rules(EPOCHS, audit=1.0, ahead=True),
        budget=Budget(trials, None),
        recorder=silent,
        listener=silent,
    )
    windows = [Window(STEP)]
    running: dict[int, tuple[Mapping[str, Any], int]] = {}
    started, ended, since_draw = time.perf_counter(), 0, 0
    while ended < trials:
        window = windows[-1]
        if len(running) < workers and not bridge.drawing:
            before = time.perf_counter()
            proposal = bridge.ask()
            if proposal is not None:
                window.ask_s.append(time.perf_counter() - before)
                running[proposal.number] = (proposal.values, 0)
                since_draw = 0
        # Training takes longer than drawing: while a trial is drawn no more than a trial's epochs come in.
        if bridge.drawing and since_draw == EPOCHS:
            time.sleep(0.001)
            continue
        since_draw += 1
        for number in list(running)[:1]:
            values, epoch = running.pop(number)
            epoch += 1
            row = {"epoch": epoch, "value": value_at(values, epoch), "end": "finished" if epoch == EPOCHS else None}
            before = time.perf_counter()
            stopped = bridge.report(number, row).stop
            window.report_s.append(time.perf_counter() - before)
            if not stopped:
                running[number] = (values, epoch)
                continue
            ended += 1
            if ended % STEP == 0:
                window.wall_s = time.perf_counter() - started
                window.memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print({key: round(value, 2) for key, value in window.line().items()}, flush=True)
                windows.append(Window(ended + STEP))
    bridge.interrupt()
    return [window for window in windows if window.wall_s]


def draw(lines: Sequence[Mapping[str, float]], path: Path) -> None:
    """The cost against the number of trials, as a picture."""
    panels = {
        "ask, as the loop waits for it (ms)": ("ask_p50_ms", "ask_p95_ms"),
        "report (ms)": ("report_p50_ms", "report_p95_ms"),
        "memory (MiB)": ("memory_mib",),
    }
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=list(panels))
    for column, keys in enumerate(panels.values(), 1):
        for key in keys:
            values = [line[key] for line in lines]
            figure.add_trace(go.Scatter(x=[line["trials"] for line in lines], y=values, name=key), row=1, col=column)
    figure.update_xaxes(title="trials").update_yaxes(rangemode="tozero")
    save_picture(figure, path, 1200, 400)


def main() -> int:
    """Simulate, and keep the figures in benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=64)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        windows = simulate(arguments.trials, arguments.workers, Path(folder, "optuna.journal"))
    lines = [window.line() for window in windows]
    asks = [second for window in windows for second in window.ask_s]
    reports = [second for window in windows for second in window.report_s]
    ask_p95 = quantile(asks, 0.95)
    name = RESULTS / f"scale_{today()}"
    with name.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    draw(lines, name.with_suffix(".png"))
    holds = "holds" if ask_p95 <= MOST_ASK_S else "does not hold"
    name.with_suffix(".md").write_text(
        f"# A study of {arguments.trials:,} trials of {EPOCHS} reports, {arguments.workers} workers, in one process\n\n"
        f"- command: `python -m benchmarks.scale --trials {arguments.trials} --workers {arguments.workers}`\n"
        f"- hardware: {hardware()}\n- date: {today()}\n- versions: {versions(('optuna',))}\n"
        f"- ask, as the control loop waits for it: median {1e3 * statistics.median(asks):.1f} ms, p95 "
        f"{1e3 * ask_p95:.1f} ms; claim: p95 at most {1e3 * MOST_ASK_S:g} ms: {holds}\n"
        f"- report: median {1e3 * statistics.median(reports):.1f} ms, p95 {1e3 * quantile(reports, 0.95):.1f} ms\n"
        f"- memory at the end {lines[-1]['memory_mib']:.0f} MiB, of which {lines[0]['memory_mib']:.0f} MiB after "
        f"{STEP} trials; wall time {lines[-1]['wall_s']:.0f} s\n\n"
        f"![cost against the number of trials]({name.name}.png)\n",
        encoding="utf-8",
    )
    print(name.with_suffix(".md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
