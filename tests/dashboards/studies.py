"""Real Optuna studies with trial folders, written as the driver and its workers write them."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from dashboards.extremes import COUNTS, PICTURES
from dashboards.masks import IGNORE
from search.records.study import StudyRecord, read_study

IMAGES, SIZE = 7, (24, 32)
Masks = NDArray[np.uint8]
CLASSES = ["background", "soil", "bedrock", "sand", "big rock"]
FACTS: dict[str, Any] = {
    "metric": "validation mIoU",
    "class_names": CLASSES,
    "images": {"train": 96, "validation": 32},
    "fingerprints": {"train": "54c6b35a7a51ffff", "validation": "476d7ce01f5affff"},
    "class_pixels": {"train": [2000, 3000, 2500, 2480, 20]},
    "split": "validation",
    "epochs": 6,
}
SETTINGS: dict[str, Any] = {
    "trial": {"epochs": 6, "data": {"format": "terrain", "size": None}, "metric": {"exclude": []}},
    "space": {
        "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "augment.set": {"choices": ["none", "flips", "terrain"]},
        "augment.strength": {"low": 0.5, "high": 1.5, "when": {"augment.set": ["flips", "terrain"]}},
        "model.depth": {"low": 2, "high": 4},
    },
    "search": {
        "sampler": {"name": "random"},
        "pruner": {"name": "median"},
        "trials": 20,
        "hours": None,
        "audit": 0.1,
    },
}
PROMOTION: dict[str, Any] = {
    "study": "s", "trial": 0, "epoch": 6, "metric": "mIoU", "opening": 2, "again": "more data", "when_s": 1.79e9,
    "fingerprint": "f" * 64, "weights": "w" * 64, "head": "h" * 64,
    "test": {"images": 40, "miou": 0.6012, "pixel_accuracy": 0.84, "ce": 0.5,
             "iou": {"background": 0.8, "soil": 0.7, "bedrock": 0.65, "sand": 0.62, "big rock": None}},
    "validation": {"images": 32, "miou": 0.6512, "pixel_accuracy": 0.86, "ce": 0.45,
                   "iou": {"background": 0.82, "soil": 0.72, "bedrock": 0.7, "sand": 0.66, "big rock": 0.2}},
}  # fmt: skip


@dataclass
class Builder:
    """Writes a study as the driver and its workers do: Optuna first by name, rows in each trial's folder."""

    root: Path
    name: str = "terrain"
    settings: dict[str, Any] | None = field(default_factory=lambda: SETTINGS)
    facts: dict[str, Any] | None = field(default_factory=lambda: FACTS)
    direction: str = "maximize"

    def __post_init__(self) -> None:
        self.storage = str(self.root / "optuna.journal")
        self.study = optuna.create_study(
            study_name=self.name,
            storage=JournalStorage(JournalFileBackend(self.storage)),
            sampler=optuna.samplers.RandomSampler(seed=0),
            direction=self.direction,
        )
        if self.settings is not None:
            self.study.set_user_attr("study", {"name": self.name, **self.settings})
        if self.facts is not None:
            self.study.set_user_attr("metric", self.facts["metric"])
            self.study.set_user_attr("facts", self.facts)
        self.study.set_user_attr("driver_s", 157.0)

    def ask(self) -> optuna.Trial:
        trial = self.study.ask()
        trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True)
        if trial.suggest_categorical("augment.set", ["none", "flips", "terrain"]) != "none":
            trial.suggest_float("augment.strength", 0.5, 1.5)
        trial.suggest_int("model.depth", 2, 4)
        trial.set_user_attr("folder", f"studies/{self.root.name}/trials/{trial.number:05d}")
        return trial

    def trial(
        self, curve: list[float] | int, state: TrialState | None, reason: str | None, **attrs: Any
    ) -> optuna.Trial:
        """One trial with this curve, or with so many epochs of `score`; without a state it is left running."""
        trial = self.ask()
        if isinstance(curve, int):
            curve = [score(trial.params, epoch) for epoch in range(1, curve + 1)]
        folder = self.folder(trial)
        folder.mkdir(parents=True)
        for epoch, value in enumerate(curve, start=1):
            write_row(folder, epoch, value)
            trial.report(value, step=epoch)
        finite = {epoch: value for epoch, value in enumerate(curve, start=1) if math.isfinite(value)}
        best_epoch = max(finite, key=lambda epoch: finite[epoch], default=None)
        for key, value in {"reason": reason, "best_epoch": best_epoch, "audit": False, **attrs}.items():
            trial.set_user_attr(key, value)
        if reason in ("diverged", "out_of_memory"):
            trial.set_constraint(reason, 1.0)
        if state is TrialState.WAITING:
            self.study._storage.set_trial_state_values(trial._trial_id, state)
        elif state is not None:
            self.study.tell(trial, max(finite.values()) if state is TrialState.COMPLETE else None, state=state)
        return trial

    def folder(self, trial: optuna.Trial) -> Path:
        return self.root / trial.user_attrs["folder"]

    def read(self) -> StudyRecord:
        return read_study(self.storage, self.name)


def write_row(folder: Path, epoch: int, value: float) -> None:
    ious: list[float | None] = [value + 0.1, value, value - 0.05, value, None]
    row = {
        "epoch": epoch,
        "value": value if math.isfinite(value) else None,
        "metrics": {"val/miou": value, "val/loss": 1 / epoch, "lr": 1e-3},
        "arrays": {"val/iou": ious if math.isfinite(value) else [None] * 5},
        "started_s": 1.79e9 + epoch,
        "ended_s": 1.79e9 + epoch + 1,
        "device_s": 0.9,
        "worker": "host:1",
        "end": None,
    }
    if not math.isfinite(value):
        row["metrics"] = {"val/miou": None, "val/loss": None, "lr": 1e-3}
    with (folder / "epochs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")


def write_pictures(folder: Path, count: int = 4) -> None:
    """Four small pictures with masks of five classes; the last has ignored pixels, and an image of half the size."""
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {"names": np.array([f"frame_{index}" for index in range(count)])}
    for index in range(count):
        truth = np.repeat(np.arange(32)[:, None] // 8, 64, axis=1).astype(np.uint8)
        if index == count - 1:
            truth[:4] = 255
        prediction = np.roll(truth % 4, index, axis=1)
        prediction[:2, :5] = 4
        size = (16, 32, 1) if index == count - 1 else (32, 64, 1)
        arrays |= {
            f"image_{index}": generator.integers(0, 256, size, dtype=np.uint8),
            f"truth_{index}": truth,
            f"prediction_{index}": prediction,
        }
    np.savez_compressed(folder / "pictures.npz", **arrays)


def masks_of(seed: int, wrong: float) -> tuple[Masks, Masks]:
    """Truths of four classes with ignored pixels, the same for every seed, and predictions, a share of them wrong."""
    truth_NHW = np.random.default_rng(0).integers(0, 4, (IMAGES, *SIZE)).astype(np.uint8)
    truth_NHW[0][truth_NHW[0] == 3] = 2
    truth_NHW[:, 0] = IGNORE
    generator = np.random.default_rng(seed)
    shares_N = np.linspace(0, wrong, IMAGES)[:, None, None]
    drawn_NHW = generator.integers(0, 5, truth_NHW.shape).astype(np.uint8)
    kept_NHW = np.where(truth_NHW == IGNORE, 0, truth_NHW)
    return truth_NHW, np.where(generator.random(truth_NHW.shape) < shares_N, drawn_NHW, kept_NHW)


def counted(truth_NHW: Masks, prediction_NHW: Masks) -> NDArray[np.int64]:
    """Pixel by pixel, rows target."""
    counts_NKK = np.zeros((len(truth_NHW), len(CLASSES), len(CLASSES)), dtype=np.int64)
    for counts_KK, truth, prediction in zip(counts_NKK, truth_NHW, prediction_NHW, strict=True):
        for target, found in zip(truth.ravel(), prediction.ravel(), strict=True):
            if target != IGNORE:
                counts_KK[target, found] += 1
    return counts_NKK


def write_extremes(folder: Path, seed: int, wrong: float, prefix: str = "frame", shown: range = range(IMAGES)) -> None:
    """What `contourney report --worst-images` leaves in a trial's folder."""
    truth_NHW, prediction_NHW = masks_of(seed, wrong)
    names = [f"{prefix}_{index}" for index in range(IMAGES)]
    np.savez_compressed(folder / COUNTS, names=np.array(names), counts_NKK=counted(truth_NHW, prediction_NHW))
    arrays: dict[str, Any] = {"names": np.array([names[index] for index in shown])}
    for place, index in enumerate(shown):
        arrays[f"image_{place}"] = np.full((*SIZE, 3), 40 * index, dtype=np.uint8)
        arrays[f"truth_{place}"] = truth_NHW[index]
        arrays[f"prediction_{place}"] = prediction_NHW[index]
    np.savez_compressed(folder / PICTURES, **arrays)


def score(params: dict[str, Any], epoch: int) -> float:
    """A curve with one dominant parameter: the rate's distance from 10^-2.5."""
    distance = (math.log10(params["optimizer.lr"]) + 2.5) ** 2
    bonus = 0.02 * (params["augment.set"] == "terrain")
    return float((0.7 - 0.12 * distance + bonus) * (1 - 0.5**epoch))
