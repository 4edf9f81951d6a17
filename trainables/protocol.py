"""The protocol between a trial and what it trains; a user's own class can stand behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.ranks import ALONE, Ranks
from trainables.settings import TrialSettings

State = Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """Where a trial may write, where prepared data lie, what it computes on, and which processes train it together.

    `micro_batch` is the number of images that may be on the device at once in training, None for whole batches. Of
    several `ranks` each runs the same trainable on its share of every batch, and only the first writes; one that heeds
    them says so by their number under `ranks` in `applied`, and is refused otherwise.
    """

    folder: Path
    cache: Path
    device: torch.device
    threads: int
    micro_batch: int | None = None
    ranks: Ranks = ALONE


@dataclass(frozen=True)
class Pictures:
    """A few validation images uint8 [H, W, C], their masks and predictions uint8 at the masks' own sizes [H0, W0]."""

    names: tuple[str, ...]
    images: tuple[NDArray[np.uint8], ...]
    truths: tuple[NDArray[np.uint8], ...]
    predictions: tuple[NDArray[np.uint8], ...]


@dataclass(frozen=True)
class EpochResult:
    """What an epoch gave: validation counts int64 [K, K] (rows target) and figures by their recorded names.

    `metrics` must hold `train/loss` and `val/loss`, whose NaN or infinity ends the trial as diverged. A refit has
    nothing to validate on: it gives no counts and no validation figure, and its pictures are of training images.
    """

    confusion_KK: NDArray[np.int64] | None
    metrics: Mapping[str, float]
    pictures: Pictures | None = None


class Trainable(Protocol):
    """One configuration that is trained and measured an epoch at a time.

    `run_epoch` must be a function of the state and the epoch's number alone, so that an epoch can be run again after a
    crash. States hold tensors, numbers, text, lists and dicts only: they are read with weights_only=True.

    It may also have a method `latency()`, asked once after the first epoch: JSON values with `latency_ms`, the
    milliseconds for one image, and the `device` that this was measured on; None where there is nothing to say.
    """

    class_names: tuple[str, ...]

    @property
    def applied(self) -> Mapping[str, Any]:
        """What is really in force."""
        ...

    def setup(self, settings: TrialSettings, context: Context) -> None:
        """Build everything; sets `class_names` and `applied` (JSON values, `trainable_parameters` among them).

        One that heeds `context.micro_batch` says so by `micro_batch` in `applied`: out of memory, it is then built anew
        with half of it (of settings.batch_size the first time), down to `smallest_micro_batch` (1 if not given).
        """
        ...

    def run_epoch(self, epoch: int) -> EpochResult:
        """Train and validate epoch 1, 2, …"""
        ...

    def state(self) -> State:
        """Everything that the next epoch depends on."""
        ...

    def load_state(self, state: State) -> None:
        """Go on from what `state` gave."""
        ...

    def model_state(self) -> State:
        """The weights alone, as kept of the best epoch."""
        ...

    def reset(self) -> None:
        """Let go of everything that `setup` built."""
        ...


def latency_of(trainable: Trainable) -> Mapping[str, Any] | None:
    """What the trainable says of its latency; None where it measures none."""
    measure: Callable[[], Mapping[str, Any] | None] | None = getattr(trainable, "latency", None)
    return None if measure is None else measure()
