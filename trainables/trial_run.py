"""One trial in its folder, an epoch at a time; it can be left at any moment and goes on the same."""

import json
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from trainables.claim import Claim
from trainables.class_names import label_ids
from trainables.custom import PartError, load_part
from trainables.device import choose_device, set_threads
from trainables.early_stop import should_stop
from trainables.memory import keep_freed_memory, limit_memory, out_of_memory_told, release_memory
from trainables.metrics import iou_K, miou_of, pixel_accuracy
from trainables.protocol import Context, EpochResult, Trainable, latency_of
from trainables.seeding import seed_everything
from trainables.settings import TrialSettings
from trainables.trial_folder import Row, TrialFolder

LATENCY = "latency.json"
# What last.pt says of a trial without an epoch.
NOTHING: Mapping[str, Any] = {"rows": 0, "best_value": -math.inf, "best_epoch": 0}


class End(StrEnum):
    """Why a trial ended by itself."""

    DIVERGED = "diverged"
    FINISHED = "finished"
    EARLY_STOPPED = "early_stopped"


def load_entry(entry: str) -> type[Trainable]:
    """The class that `module:Class` names; raises PartError."""
    found = load_part(entry, "entry", ())
    if not isinstance(found, type) or not hasattr(found, "run_epoch"):
        raise PartError(f"entry: {entry!r} is no class with the methods of trainables.protocol.Trainable")
    return found


class TrialRun:
    """One trial: rows in epochs.jsonl, weights in best.pt, everything to go on in last.pt, settings in force in
    applied.json, how long one image takes in latency.json, pictures.npz.

    A new object on the same folder goes on after the rows that last.pt knows; a row beyond them is run again, with the
    same result. `have` is the number of rows the caller has seen. `threads` and `device` default to what torch is set
    to and to the first CUDA device or the CPU; `memory_fraction` limits it as `limit_memory` does, `micro_batch` is the
    largest to begin with, `trainable` what stands for settings.entry (see trainables.rank_roles).

    An epoch that does not fit into memory is run again from last.pt with half the images at a time (see Trainable's
    `setup`), which last.pt remembers. Raises torch.OutOfMemoryError where that does not help, on the CPU too,
    DiskFull where a file cannot be written whole, and FolderHeld where another process trains the trial.
    """

    def __init__(
        self,
        settings: TrialSettings,
        folder: Path,
        cache: Path,
        have: int = 0,
        *,
        threads: int | None = None,
        device: torch.device | None = None,
        memory_fraction: float | None = None,
        micro_batch: int | None = None,
        trainable: Trainable | None = None,
    ) -> None:
        self._settings = settings
        self._folder = TrialFolder(folder)
        self._claim = Claim(folder)
        self._cache = cache
        self._device = device or choose_device()
        if memory_fraction is not None:
            limit_memory(self._device, memory_fraction)
        set_threads(threads or torch.get_num_threads())
        keep_freed_memory()
        known = [size for size in (micro_batch, self._last().get("micro_batch")) if size is not None]
        self._micro_batch: int | None = min(known, default=None)
        self._given = trainable
        self._built = False
        self._fitting()
        self._shown = min(have, len(self._rows))

    @property
    def applied(self) -> dict[str, Any]:
        """What the trial really uses, as in applied.json."""
        return dict(self._trainable.applied)

    @property
    def facts(self) -> dict[str, Any]:
        """What is to be known of the trial beside its settings: trained parameters, and latency once it is measured."""
        facts = {"trainable_parameters": self.applied["trainable_parameters"]}
        if self._latency is not None:
            facts |= {"latency_ms": self._latency["latency_ms"], "latency_device": self._latency["device"]}
        return facts

    @property
    def micro_batch(self) -> int | None:
        """Images at a time in training, after memory ran out; None for whole batches."""
        return self._micro_batch

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows so far."""
        return tuple(self._rows)

    def next_row(self) -> Row:
        """The next row that the caller has not seen, training an epoch if there is none.

        After the end it is the last row again.
        """
        if self._shown == len(self._rows) and not self._ended:
            self._fitting(self._run_epoch)
        self._shown = min(self._shown + 1, len(self._rows))
        return self._rows[self._shown - 1]

    def reset(self) -> None:
        """Let go of the trial, of the device's memory and of the state of random generators; the object is spent."""
        self._claim.release()
        self._trainable.reset()
        del self._trainable
        release_memory(self._device)
        seed_everything(0)

    @property
    def _ended(self) -> bool:
        return bool(self._rows) and self._rows[-1]["end"] is not None

    def _last(self) -> Mapping[str, Any]:
        return self._folder.load("last.pt") or NOTHING

    def _fitting(self, act: Callable[[], None] = lambda: None) -> None:
        """Build the trainable where it is not, and act; again with half the micro-batch while memory runs out."""
        while True:
            try:
                with out_of_memory_told():
                    if not self._built:
                        self._build()
                    return act()
            except torch.OutOfMemoryError:
                smaller = self._halved()
                if smaller is None:
                    raise
            # Not while the error lives, whose frames hold what did not fit.
            self._built = False
            self._trainable.reset()
            release_memory(self._device)
            self._micro_batch = smaller
            # At once, so that a restart does not try again what did not fit.
            self._folder.save("last.pt", {**self._last(), "micro_batch": smaller})

    def _halved(self) -> int | None:
        """Half the micro-batch in force; None where the trainable takes none, or no smaller one."""
        applied: Mapping[str, Any] = getattr(self._trainable, "applied", {})
        half = (self._micro_batch or self._settings.batch_size) // 2
        return half if "micro_batch" in applied and half >= applied.get("smallest_micro_batch", 1) else None

    def _build(self) -> None:
        """Set the trainable up and go on from last.pt, or start anew without it."""
        seed_everything(self._settings.seed)
        self._trainable: Trainable = self._given or load_entry(self._settings.entry)()
        self._trainable.setup(
            self._settings,
            Context(
                folder=self._folder.path,
                cache=self._cache,
                device=self._device,
                threads=torch.get_num_threads(),
                micro_batch=self._micro_batch,
            ),
        )
        last = self._last()
        if len(self._folder.rows()) < last["rows"]:
            # The rows up to its state are gone: the same ones come again from the start.
            last = NOTHING
        self._folder.cut_rows(last["rows"])
        self._rows = self._folder.rows()
        self._best_value: float = last["best_value"]
        self._best_epoch: int = last["best_epoch"]
        if "state" in last:
            self._trainable.load_state(last["state"])
        self._latency = self._folder.load_json(LATENCY)
        self._exclude = label_ids(self._settings.metric.exclude, self._trainable.class_names, "metric.exclude")
        self._keep_applied()
        self._built = True

    def _keep_applied(self) -> None:
        self._kept = self.applied
        self._folder.save_json("applied.json", self._kept)

    def _run_epoch(self) -> None:
        started_s, clock = time.time(), time.perf_counter()
        epoch = len(self._rows) + 1
        result = self._trainable.run_epoch(epoch)
        if self.applied != self._kept:
            self._keep_applied()
        figures = self._figures(result)
        end = self._end(epoch, figures["metrics"])
        row = {
            "epoch": epoch,
            **figures,
            "started_s": started_s,
            "ended_s": time.time(),
            "device_s": (time.perf_counter() - clock) * self._kept.get("ranks", 1),
            "worker": f"{socket.gethostname()}:{os.getpid()}",
            "end": end,
        }
        if epoch == 1:
            # Before the row, which says that the epoch is over.
            self._keep_latency()
        # This order is what a restart relies on: the row, then best, then last, which says how many rows count.
        self._rows.append(self._folder.append_row(row))
        value = figures["value"]
        if value is None:
            # Nothing tells one epoch from another: the last one's weights are the result.
            if end is End.FINISHED:
                self._keep_best(result, epoch, None)
        elif value > self._best_value:
            self._best_value, self._best_epoch = value, epoch
            self._keep_best(result, epoch, value)
        self._folder.save(
            "last.pt",
            {
                "state": self._trainable.state(),
                "rows": epoch,
                "best_value": self._best_value,
                "best_epoch": self._best_epoch,
                "micro_batch": self._micro_batch,
            },
        )

    def _keep_latency(self) -> None:
        """Measured once: what an interrupted first epoch kept stands."""
        if self._latency is None and (found := latency_of(self._trainable)) is not None:
            self._latency = dict(found)
            self._folder.save_json(LATENCY, found)

    def _figures(self, result: EpochResult) -> dict[str, Any]:
        """What a row has of an epoch's result; a refit has no validation figure, and so no value.

        Optuna has a value of every trial that ends complete: minus the training loss stands in for a refit's.
        """
        counts_KK, metrics = result.confusion_KK, dict(result.metrics)
        if self._settings.refit is not None:
            return {"value": None, "stand_in": -metrics["train/loss"], "metrics": metrics, "arrays": {}}
        assert counts_KK is not None  # of every trial but a refit
        value = miou_of(counts_KK, self._exclude)
        metrics |= {"val/miou": value, "val/pixel_accuracy": pixel_accuracy(counts_KK)}
        return {"value": value, "metrics": metrics, "arrays": {"val/iou": iou_K(counts_KK).tolist()}}

    def _end(self, epoch: int, metrics: Mapping[str, float]) -> End | None:
        losses = ("train/loss",) if self._settings.refit is not None else ("train/loss", "val/loss")
        if not all(math.isfinite(metrics[name]) for name in losses):
            return End.DIVERGED
        if epoch >= self._settings.last_epoch:
            return End.FINISHED
        if self._settings.refit is not None:
            return None
        figures = [row["metrics"] for row in self._rows] + [metrics]
        return End.EARLY_STOPPED if should_stop(self._settings.early_stop, figures) else None

    def _keep_best(self, result: EpochResult, epoch: int, value: float | None) -> None:
        self._folder.save(
            "best.pt",
            {
                "model": self._trainable.model_state(),
                "epoch": epoch,
                "value": value,
                "settings": self._settings.model_dump_json(),
                "applied": json.dumps(self._trainable.applied),
                "class_names": list(self._trainable.class_names),
            },
        )
        if result.pictures is not None:
            self._folder.save_pictures(result.pictures)
