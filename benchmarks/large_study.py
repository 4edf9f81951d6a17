"""A finished study of any size, written as the driver and its workers leave it: Optuna's journal and trial folders."""

import datetime
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

NAME = "large"
START_S = 1.79e9
EPOCH_S = 60.0
# Operations of Optuna's journal.
CREATE_TRIAL, PARAMETER, STATE, VALUE, ATTRIBUTE = 4, 5, 6, 7, 8
SPACE: dict[str, BaseDistribution] = {
    "optimizer.lr": FloatDistribution(1e-5, 1e-1, log=True),
    "optimizer.weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "loss.terms.dice.weight": FloatDistribution(0.0, 1.0),
    "augment.set": CategoricalDistribution(("none", "flips", "indoor")),
    "model.depth": IntDistribution(2, 5),
}
# Rows take their IoUs of so many kinds in turn: drawing each anew would take most of the time.
KINDS = 2000


def write_large_study(root: Path, trials: int, epochs: int, classes: int, seed: int = 0) -> None:
    """Write the study below `root`, one trial in three pruned half-way, the last one still running."""
    generator = random.Random(seed)
    journal = root / "optuna.journal"
    names = [f"class {index}" for index in range(classes)]
    study = optuna.create_study(
        study_name=NAME, storage=JournalStorage(JournalFileBackend(str(journal))), direction="maximize"
    )
    facts = {
        "metric": "validation mIoU", "class_names": names, "images": {"train": 5000, "validation": 500},
        "split": "validation", "epochs": epochs, "class_pixels": {"train": [10**6 // (1 + i) for i in range(classes)]},
    }  # fmt: skip
    settings = {"trial": {"epochs": epochs}, "search": {"trials": trials, "hours": None, "audit": 0.1}}
    for key, value in {"study": {"name": NAME, **settings}, "metric": facts["metric"], "facts": facts}.items():
        study.set_user_attr(key, value)
    kinds = [json.dumps([round(generator.random(), 4) for _ in range(classes)]) for _ in range(KINDS)]
    with journal.open("a", encoding="utf-8") as file:
        for number in range(trials):
            running = number == trials - 1
            count = epochs if number % 3 else epochs // 2
            folder = Path("studies", NAME, "trials", f"{number:05d}")
            start_s = START_S + number * EPOCH_S
            values = _values(generator, count)
            rows = (root / folder).joinpath("epochs.jsonl")
            rows.parent.mkdir(parents=True)
            rows.write_text("".join(_rows(values, start_s, kinds, generator)), encoding="utf-8")
            for record in _records(number, values, start_s, str(folder), generator, running):
                file.write(json.dumps({"worker_id": "benchmark", **record}) + "\n")


def _values(generator: random.Random, count: int) -> list[float]:
    high, speed = generator.uniform(0.2, 0.7), generator.uniform(2, 20)
    return [high * epoch / (epoch + speed) + generator.gauss(0, 0.005) for epoch in range(1, count + 1)]


def _rows(values: list[float], start_s: float, kinds: list[str], generator: random.Random) -> Iterator[str]:
    for epoch, value in enumerate(values, start=1):
        begun = start_s + (epoch - 1) * EPOCH_S
        yield (
            f'{{"epoch": {epoch}, "value": {value:.6f}, "metrics": {{"val/miou": {value:.6f}, '
            f'"val/loss": {1 / epoch:.5f}, "train/loss": {1.1 / epoch:.5f}, "lr": 0.001}}, "arrays": {{"val/iou": '
            f'{generator.choice(kinds)}}}, "started_s": {begun}, "ended_s": {begun + EPOCH_S}, "device_s": 55.0, '
            f'"worker": "node:{int(start_s) % 8}", "end": null}}\n'
        )


def _records(
    number: int, values: list[float], start_s: float, folder: str, generator: random.Random, running: bool
) -> Iterator[dict[str, Any]]:
    """What Optuna appends of one trial, in its order."""
    trial = {"trial_id": number}
    yield {"op_code": CREATE_TRIAL, "study_id": 0, "datetime_start": _date(start_s)}
    for path, distribution in SPACE.items():
        internal = _draw(distribution, generator)
        json_ = distribution_to_json(distribution)
        yield {
            "op_code": PARAMETER,
            **trial,
            "param_name": path,
            "param_value_internal": internal,
            "distribution": json_,
        }
    yield {"op_code": ATTRIBUTE, **trial, "user_attr": {"folder": folder}}
    for epoch, value in enumerate(values, start=1):
        yield {"op_code": VALUE, **trial, "step": epoch, "intermediate_value": value}
    if running:
        return
    best = max(range(len(values)), key=values.__getitem__)
    pruned = number % 3 == 0
    for attribute in ({"reason": "pruned" if pruned else "finished"}, {"best_epoch": best + 1}):
        yield {"op_code": ATTRIBUTE, **trial, "user_attr": attribute}
    state = TrialState.PRUNED if pruned else TrialState.COMPLETE
    result = [values[-1] if pruned else values[best]]
    end = _date(start_s + EPOCH_S * len(values))
    yield {"op_code": STATE, **trial, "state": int(state), "values": result, "datetime_complete": end}


def _draw(distribution: BaseDistribution, generator: random.Random) -> float:
    if isinstance(distribution, FloatDistribution):
        share = generator.random()
        if distribution.log:
            return float(distribution.low * (distribution.high / distribution.low) ** share)
        return distribution.low + share * (distribution.high - distribution.low)
    if isinstance(distribution, IntDistribution):
        return float(generator.randint(distribution.low, distribution.high))
    assert isinstance(distribution, CategoricalDistribution)
    return float(generator.randrange(len(distribution.choices)))


def _date(time_s: float) -> str:
    return datetime.datetime.fromtimestamp(time_s, datetime.UTC).isoformat(timespec="microseconds")
