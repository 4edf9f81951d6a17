"""Tabulated learning curves: a search without training and without waiting."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from search.bridge import Bridge, Rules
from search.budget import Budget
from search.pruners import Horizon, build_pruner
from search.samplers import build_sampler, count_opening
from search.space import Space
from search.space_settings import ParameterSettings
from search.states import Reason

EPOCHS = 9
KINDS = {"lr": float, "depth": str, "scale": float, "width": int}
DECLARED = {
    "lr": ParameterSettings(low=1e-5, high=1e-1, log=True),
    "width": ParameterSettings(low=8, high=64, step=8),
    "depth": ParameterSettings(choices=("head", "decoder", "all")),
    "scale": ParameterSettings(low=0.0, high=2.0, when={"depth": ("decoder", "all")}),
}
STEPPED = {
    "lr": ParameterSettings(choices=(1e-4, 1e-3, 1e-2)),
    "depth": ParameterSettings(choices=("head", "decoder", "all")),
}
FIXED = {"lr": 1e-3, "depth": "all", "scale": 1.0, "width": 16}


def value_at(values: Mapping[str, Any], epoch: int) -> float:
    """A saturating curve; the best is lr 1e-3, depth decoder, scale 1; early epochs are noisy."""
    quality = 0.8 - 0.1 * abs(math.log10(values.get("lr", 1e-3)) + 3)
    quality -= {"head": 0.2, "decoder": 0.0, "all": 0.05}[values.get("depth", "all")]
    quality -= 0.05 * abs(values.get("scale", 1.0) - 1.0)
    noise = hashlib.sha256(f"{sorted(values.items())}{epoch}".encode()).digest()[0] / 255 - 0.5
    return quality * (1 - math.exp(-epoch / 3)) + 0.05 * noise / epoch


class Records:
    """A recorder and listener that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def opened(self, number: int, values: Mapping[str, Any]) -> None:
        self.events.append(("opened", number))

    def run_id(self, number: int, *, wait: bool) -> str | None:
        return f"run-{number}"

    def epoch(self, number: int, row: Mapping[str, Any]) -> None:
        self.events.append(("epoch", number, row["epoch"], row["value"]))

    def closed(self, number: int, state: TrialState, reason: Reason) -> None:
        self.events.append(("closed", number, state, reason))

    def on_trial(self, number: int, reason: Reason | None, values: Mapping[str, Any]) -> None:
        pass

    def on_epoch(self, number: int, epoch: int, value: float | None) -> None:
        pass


def row(epoch: int, value: float | None, end: str | None = None) -> dict[str, Any]:
    """A row as a worker sends it."""
    return {"epoch": epoch, "value": value, "end": end, "metrics": {"val/miou": value}, "ended_s": 1e9 + epoch}


def open_bridge(
    study: optuna.Study,
    *,
    trials: int | None = 30,
    sampler: str = "random",
    pruner: str = "none",
    pruner_arguments: Mapping[str, Any] | None = None,
    audit: float = 0.0,
    seed: int = 0,
    records: Records | None = None,
    queue: Iterable[int] | None = None,
    ahead: bool = False,
) -> Bridge:
    """A bridge over a study, as a driver opens it at launch and at every resume."""
    space = Space.declare(STEPPED if sampler == "grid" else DECLARED, KINDS)
    asked = len(study.get_trials(deepcopy=False))
    opened = count_opening(study)
    study.sampler = build_sampler(sampler, {}, seed=seed, asked=asked, opened=opened, distributions=space.distributions)
    study.pruner = build_pruner(pruner, pruner_arguments or {}, Horizon(EPOCHS))
    records = records or Records()
    return Bridge(
        study,
        space,
        FIXED,
        rules=Rules(EPOCHS, audit, seed, ahead),
        budget=Budget(trials, None),
        recorder=records,
        listener=records,
        queue=queue,
    )


def run_side_by_side(bridge: Bridge, workers: int = 4, stop_after: int | None = None) -> int:
    """Run trials from the table, `workers` at once, an epoch each in turn; returns the number of reports made."""
    running: dict[int, list[Any]] = {}
    reports = 0
    while True:
        while len(running) < workers and (proposal := bridge.ask()) is not None:
            running[proposal.number] = [dict(proposal.values), proposal.recorded]
        if not running:
            return reports
        for number, state in list(running.items()):
            state[1] += 1
            epoch = state[1]
            end = "finished" if epoch == EPOCHS else None
            reports += 1
            if bridge.report(number, row(epoch, value_at(state[0], epoch), end)).stop:
                del running[number]
            if reports == stop_after:
                return reports
