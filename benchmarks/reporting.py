"""Trainables that train nothing and report ten epochs, ours and the peer's, with the same six figures.

One module for both: either actor imports torch, as every trainable of a segmentation model does.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from ray.tune import Trainable

from trainables.protocol import Context, EpochResult
from trainables.settings import TrialSettings

EPOCHS, EPOCH_S = 10, 0.2


def figures(lr: float, epoch: int) -> tuple[int, float]:
    """Right pixels of 100 in an epoch, and its loss."""
    right = int(90 * epoch / (epoch + 2) * (1 - abs(np.log10(lr) + 3) / 4))
    return right, 1.0 / (1 + right)


class Reporting:
    """Behind `trial.entry`."""

    class_names = ("background", "object")
    applied: Mapping[str, Any]

    def setup(self, settings: TrialSettings, context: Context) -> None:
        self._lr = settings.optimizer.lr
        self.applied = {"trainable_parameters": 0}

    def run_epoch(self, epoch: int) -> EpochResult:
        right, loss = figures(self._lr, epoch)
        counts = np.array([[right, 100 - right], [100 - right, right]], dtype=np.int64)
        return EpochResult(counts, {"train/loss": loss, "val/loss": loss, "val/ce": loss, "lr": self._lr})

    def state(self) -> Mapping[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        pass

    def model_state(self) -> Mapping[str, Any]:
        return {}

    def reset(self) -> None:
        pass


class Paced(Reporting):
    """An epoch waits for a fifth of a second, as for a device: trials of two seconds each."""

    def run_epoch(self, epoch: int) -> EpochResult:
        time.sleep(EPOCH_S)
        return super().run_epoch(epoch)


class PeerReporting(Trainable):  # type: ignore[misc]  # Ray's classes are untyped
    """The peer's: it writes nothing to disk."""

    def setup(self, config: dict[str, Any]) -> None:
        self._lr = config["optimizer.lr"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        epoch = self.iteration + 1
        right, loss = figures(self._lr, epoch)
        return {
            "miou": right / (200 - right),
            "pixel_accuracy": right / 100,
            "train_loss": loss,
            "val_loss": loss,
            "val_ce": loss,
            "lr": self._lr,
            "done": epoch == EPOCHS,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        pass


class PeerPaced(PeerReporting):
    """The peer's, with epochs of the same length."""

    def step(self) -> dict[str, Any]:
        time.sleep(EPOCH_S)
        return super().step()
