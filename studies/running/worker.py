"""The Ray worker: a class trainable that runs our trials one after another; it imports no Optuna and no MLflow."""

import gc
import json
import traceback
from collections.abc import Mapping
from typing import Any

import torch
from ray.tune import Trainable

from studies.running.node_checks import NodeLacks, cache_of, check_data, place_of
from studies.running.shipped_code import CodeDiffers, check_code
from studies.running.trial_place import PlaceGone, TrialPlace
from trainables.settings import TrialSettings
from trainables.trial_folder import DiskFull
from trainables.trial_run import TrialRun


class TrialWorker(Trainable):  # type: ignore[misc]  # Ray's classes are untyped
    """One epoch a step; each answer is a message as JSON text (see search.ray_searcher.RaySession).

    The actor is reused: `reset_config` lets go of the last trial before it takes the next. Ray's own checkpoints are
    not used; the trial folder holds what a restart needs.
    """

    _job: Mapping[str, Any] = {}
    _run: TrialRun | None = None
    _place: TrialPlace | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Take a job; its data and model are built in the first step, where a failure can be told."""
        if not self._job:
            # A new actor: what is imported by now stays, and the collection between two trials need not walk it.
            gc.freeze()
        self._job = json.loads(config["job"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next job in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run (or re-emit) one epoch."""
        return {"message": json.dumps(self._message(), allow_nan=False)}

    def cleanup(self) -> None:
        """Let go of the trial and of the device's memory."""
        if self._run is not None:
            self._run.reset()
            self._run = None
        if self._place is not None:
            self._place.forget_copy()
            self._place = None

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: `last.pt` in the trial folder is the checkpoint."""

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = {}
        try:
            if self._run is None:
                self._run = self._start()
                message["attributes"] = self._run.facts
            try:
                row = self._run.next_row()
            finally:
                if self._run.micro_batch is not None:
                    message.setdefault("attributes", {})["micro_batch"] = self._run.micro_batch
            if row["epoch"] == 1:
                # By now the latency is measured.
                message.setdefault("attributes", {}).update(self._run.facts)
            assert self._place is not None
            self._place.push()
            message["row"] = row
        except (CodeDiffers, NodeLacks, PlaceGone, DiskFull) as error:
            # Told by its message alone: no line of code is at fault.
            message["failed"] = str(error)
        except torch.OutOfMemoryError:
            message["ended"] = "out_of_memory"
        except Exception:  # noqa: BLE001 - the process boundary: whatever a trial's code raises ends that trial alone
            message["failed"] = traceback.format_exc()
        return message

    def _start(self) -> TrialRun:
        job = self._job
        check_code()
        settings = TrialSettings.model_validate_json(json.dumps(job["settings"]))
        check_data(settings)
        self._place = place_of(job)
        torch.set_num_threads(job["threads"])
        return TrialRun(
            settings,
            self._place.folder,
            cache_of(job),
            have=job["recorded"],
            memory_fraction=job.get("memory_fraction"),
        )
