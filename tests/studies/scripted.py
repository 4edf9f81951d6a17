"""A user's own trainable, named by `trial.entry`: it does what `model.width` says, with no training at all."""

import json
import math
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from trainables.protocol import Context, EpochResult
from trainables.settings import TrialSettings

FINE, BUG, NAN, OUT_OF_MEMORY, KILLED_ONCE, KILLED_ALWAYS = 1, 2, 3, 4, 5, 6


class Scripted:
    """Epoch e has mIoU e / (e + 2) exactly; the environment it sees is written to its folder."""

    class_names = ("background", "object")
    applied: Mapping[str, Any]

    def setup(self, settings: TrialSettings, context: Context) -> None:
        self._settings = settings
        self._folder = context.folder
        self.applied = {"trainable_parameters": 7}
        (context.folder / "environment.json").write_text(json.dumps(dict(os.environ)))

    def run_epoch(self, epoch: int) -> EpochResult:
        loss = 1.0
        if epoch == 2:
            match self._settings.model.width:
                case n if n == BUG:
                    raise KeyError("a bug in user code")
                case n if n == NAN:
                    loss = float("nan")
                case n if n == OUT_OF_MEMORY:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                case n if n == KILLED_ALWAYS or (n == KILLED_ONCE and not (self._folder / "killed").exists()):
                    (self._folder / "killed").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        # IoU of both classes is e / (e + 2): e right, 1 wrong each way.
        counts = np.array([[epoch, 1], [1, epoch]], dtype=np.int64)
        return EpochResult(counts, {"train/loss": loss, "val/loss": 1.0 / epoch, "val/ce": 1.0 / epoch, "lr": 0.1})

    def state(self) -> Mapping[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        pass

    def model_state(self) -> Mapping[str, Any]:
        return {}

    def reset(self) -> None:
        pass


class Graded(Scripted):
    """Scripted with an mIoU that the learning rate decides; an epoch can be run again with the same result."""

    def run_epoch(self, epoch: int) -> EpochResult:
        result = super().run_epoch(epoch)
        wrong = int(1000 * abs(math.log10(self._settings.optimizer.lr) + 3))
        right = 1000 * epoch
        counts = np.array([[right, wrong], [wrong, right]], dtype=np.int64)
        return EpochResult(counts, result.metrics)


class Held(Graded):
    """Graded, held in its second epoch until there is a file `go` in the workspace."""

    def run_epoch(self, epoch: int) -> EpochResult:
        go = self._folder.parents[3] / "go"
        while epoch == 2 and not go.exists():
            time.sleep(0.05)
        return super().run_epoch(epoch)
