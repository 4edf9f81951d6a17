"""A user's own trainable over several ranks: `model.width` says what befalls it, with no training at all."""

import os
import signal
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from trainables.protocol import Context, EpochResult
from trainables.settings import TrialSettings

LOW, BUG, MISHAPS = 1, 2, 3


class Ranked:
    """Epoch e has mIoU e / (e + 2), LOW 1 / 201; what befalls a rank does so while the other waits for it.

    MISHAPS runs out of memory on rank 1 at the first epoch with whole batches; rank 1 is killed in the second epoch and
    rank 0 in the third, once each.
    """

    class_names = ("background", "object")

    def setup(self, settings: TrialSettings, context: Context) -> None:
        self._script, self._context = settings.model.width, context
        self._workspace = context.cache.parent
        (self._workspace / "seen").mkdir(exist_ok=True)
        living = [path for path in (self._workspace / "seen").iterdir() if _lives(int(path.name.partition("-")[2]))]
        for path in living:
            if path.name.partition("-")[0] != str(self._script):
                (self._workspace / "overlap").write_text(f"{path.name} lives while {self._script} begins")
        (self._workspace / "seen" / f"{self._script}-{os.getpid()}").touch()

    @property
    def applied(self) -> Mapping[str, Any]:
        context = self._context
        return {"trainable_parameters": 7, "ranks": context.ranks.size, "micro_batch": context.micro_batch}

    def run_epoch(self, epoch: int) -> EpochResult:
        ranks, micro_batch = self._context.ranks, self._context.micro_batch
        match self._script, epoch, ranks.rank:
            case n, 2, 1 if n == BUG:
                raise KeyError("a bug on one rank")
            case n, 1, 1 if n == MISHAPS and micro_batch is None:
                raise torch.OutOfMemoryError("CUDA out of memory")
            case (n, 2, 1) | (n, 3, 0) if n == MISHAPS and self._first_time(epoch):
                os.kill(os.getpid(), signal.SIGKILL)
        taking_part = int(ranks.sum(torch.ones(1)))
        right = epoch * taking_part // 2
        wrong = 1 if self._script != LOW else 100 * right
        counts = np.array([[right, wrong], [wrong, right]], dtype=np.int64)
        return EpochResult(counts, {"train/loss": 1.0, "val/loss": 1.0, "val/ce": 1.0, "lr": 0.1})

    def _first_time(self, epoch: int) -> bool:
        marker = self._workspace / f"killed-in-{epoch}"
        first = not marker.exists()
        marker.touch()
        return first

    def state(self) -> Mapping[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        pass

    def model_state(self) -> Mapping[str, Any]:
        return {}

    def reset(self) -> None:
        pass


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
