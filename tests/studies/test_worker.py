"""What a worker tells the driver about a trial, without Ray's processes: the class is the one that they run."""

import json
from pathlib import Path
from typing import Any

import pytest

from studies.running.worker import TrialWorker
from tests.small_disk import small_disk
from trainables.settings import TrialSettings

MODULE = """
import numpy as np
import torch
from trainables.protocol import EpochResult


class Hungry:
    '''Fits with `model.width` images from its second epoch on; its applied settings say that it heeds.'''
    class_names = ("a", "b")

    def setup(self, settings, context):
        self.fits, self.batch = settings.model.width, context.micro_batch or settings.batch_size
        self.applied = {"trainable_parameters": 1, "micro_batch": context.micro_batch, "smallest_micro_batch": 2}

    def run_epoch(self, epoch):
        if epoch == 2 and self.batch > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return EpochResult(np.eye(2, dtype=np.int64), {"train/loss": self.loss(epoch), "val/loss": 1.0})

    def loss(self, epoch):
        return 1.0

    def state(self):
        return {}

    def load_state(self, state):
        pass

    def model_state(self):
        return {}

    def reset(self):
        pass


class Large(Hungry):
    def state(self):
        return {"weights": torch.ones(2**18)}


class Diverging(Hungry):
    def loss(self, epoch):
        return float("-inf") if epoch == 2 else 1.0


class Buggy(Hungry):
    def setup(self, settings, context):
        raise ZeroDivisionError("a bug in setup")
"""


@pytest.fixture
def messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that runs a class of MODULE to its end and returns the worker's messages."""
    (tmp_path / "trial").mkdir()
    (tmp_path / "starving.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(name: str, fits: int = 8, folder: Path = tmp_path / "trial") -> list[dict[str, Any]]:
        settings = TrialSettings.model_validate(
            {"entry": f"starving:{name}", "epochs": 3, "batch_size": 8, "model": {"width": fits}}
        )
        job = {
            "settings": settings.model_dump(mode="json"),
            "folder": str(folder),
            "cache": str(tmp_path / "cache"),
            "threads": 1,
            "recorded": 0,
            "remote": None,
            "memory_fraction": None,
        }
        worker = TrialWorker(config={"job": json.dumps(job)})
        found = []
        for _ in range(3):
            found.append(json.loads(worker.step()["message"]))
            if "row" not in found[-1] or found[-1]["row"]["end"]:
                break
        worker.cleanup()
        return found

    return run


def test_the_micro_batch_in_force_is_an_attribute_of_the_trial(messages: Any) -> None:
    told = messages("Hungry", fits=3)
    assert [message["row"]["epoch"] for message in told] == [1, 2, 3]
    assert told[0]["attributes"] == {"trainable_parameters": 1}
    assert told[1]["attributes"] == {"micro_batch": 2}
    assert told[2]["row"]["end"] == "finished"


def test_a_trial_that_always_fits_has_no_micro_batch(messages: Any) -> None:
    assert not any("micro_batch" in message.get("attributes", {}) for message in messages("Hungry"))


def test_what_does_not_fit_at_the_smallest_ends_as_out_of_memory(messages: Any) -> None:
    told = messages("Hungry", fits=1)
    assert told[-1] == {"ended": "out_of_memory", "attributes": {"micro_batch": 2}}


def test_an_infinite_loss_ends_as_diverged_and_is_null_in_the_row(messages: Any) -> None:
    last = messages("Diverging")[-1]["row"]
    assert (last["epoch"], last["end"], last["metrics"]["train/loss"]) == (2, "diverged", None)


def test_a_full_disk_is_told_by_its_message_alone(messages: Any, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as place:
        (told,) = messages("Large", folder=place)
    assert told["failed"].startswith(f"{place / 'last.pt'} cannot be written (No space left on device): it needs about")
    assert "1,048,576 bytes" in told["failed"]
    assert "\n" not in told["failed"]


def test_a_bug_in_setup_is_told_with_its_traceback(messages: Any) -> None:
    (told,) = messages("Buggy")
    assert told["failed"].startswith("Traceback")
    assert told["failed"].rstrip().endswith("ZeroDivisionError: a bug in setup")
    assert "starving.py" in told["failed"]
