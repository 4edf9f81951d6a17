"""One process of a trial that several train together: a Ray actor that leads or follows.

What only a rank runs is imported in its methods: who steers the ranks needs no torch.
"""

import json
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import ray

from studies.running.lifeline import Address, hold_on
from studies.running.shipped_code import CodeDiffers, check_code
from studies.running.trial_place import PlaceGone

if TYPE_CHECKING:
    from trainables.trial_run import TrialRun

Answer = dict[str, Any]
OUT_OF_MEMORY = "out_of_memory"


class Rank:
    """Rank 0 answers each epoch with a row; the others follow it, and answer only when something is wrong.

    An answer holds `row` (and what a worker's message does), or `failed` with a traceback, or OUT_OF_MEMORY with the
    error's words. After one of the latter two a rank is of no more use; none is used for a second trial.
    """

    _run: "TrialRun | None" = None

    def __init__(self, lifeline: Address) -> None:
        hold_on(lifeline)
        self._stack = ExitStack()

    def open_meeting(self) -> tuple[str, int]:
        """On rank 0: where the ranks meet."""
        from trainables.distributed import meeting

        host = ray.util.get_node_ip_address()
        self._store = meeting(host)
        return host, self._store.port

    def join(self, job: Mapping[str, Any], rank: int, size: int, place: tuple[str, int]) -> Answer:
        """Meet the others; the answer is empty, once all are there."""
        from studies.running.node_checks import NodeLacks, check_data
        from trainables.device import choose_device, set_threads
        from trainables.distributed import joined, meeting
        from trainables.settings import TrialSettings

        self._job = job
        self._settings = TrialSettings.model_validate_json(json.dumps(job["settings"]))
        try:
            check_code()
            check_data(self._settings)
        except (CodeDiffers, NodeLacks) as error:
            return {"failed": str(error)}
        set_threads(job["threads"])
        self._device = choose_device()
        if rank > 0:
            self._store = meeting(*place)
        group = joined(self._store, rank, size, self._device, sync_batch_norm=job["sync_batch_norm"])
        self._ranks = self._stack.enter_context(group)
        return {}

    def next_epoch(self, micro_batch: int | None) -> Answer:
        """On rank 0: the next row, written and pushed."""
        from studies.running.node_checks import NodeLacks, place_of
        from trainables.rank_roles import RankOutOfMemory

        answer: Answer = {}
        try:
            if self._run is None:
                self._place = place_of(self._job)
                self._run = self._lead(micro_batch)
                answer["attributes"] = self._run.facts
            if self._run.micro_batch is not None:
                answer.setdefault("attributes", {})["micro_batch"] = self._run.micro_batch
            row = self._run.next_row()
            if row["epoch"] == 1:
                # By now the latency is measured.
                answer.setdefault("attributes", {}).update(self._run.facts)
            self._place.push()
            return {**answer, "row": row}
        except (NodeLacks, PlaceGone) as error:
            return {**answer, "failed": str(error)}
        except RankOutOfMemory as error:
            return {OUT_OF_MEMORY: str(error)}
        except Exception:  # noqa: BLE001 - the process boundary: whatever a trial's code raises ends that trial alone
            return {**answer, "failed": traceback.format_exc()}

    def follow(self) -> Answer:
        """On the others: do what rank 0 does; returns when something is wrong."""
        from studies.running.node_checks import cache_of
        from trainables.protocol import Context
        from trainables.rank_roles import RankOutOfMemory, follow
        from trainables.trial_run import load_entry

        cache = cache_of(self._job)
        # Only rank 0 writes the trial's folder.
        context = Context(folder=cache, cache=cache, device=self._device, threads=self._job["threads"])
        try:
            follow(load_entry(self._settings.entry)(), self._settings, context, self._ranks)
            return {}
        except RankOutOfMemory as error:
            return {OUT_OF_MEMORY: str(error)}
        except Exception:  # noqa: BLE001 - as above
            return {"failed": traceback.format_exc()}

    def _lead(self, micro_batch: int | None) -> "TrialRun":
        from studies.running.node_checks import cache_of
        from trainables.rank_roles import Leader
        from trainables.trial_run import TrialRun, load_entry

        return TrialRun(
            self._settings,
            self._place.folder,
            cache_of(self._job),
            have=self._job["recorded"],
            device=self._device,
            trainable=Leader(load_entry(self._settings.entry)(), self._ranks),
            micro_batch=micro_batch,
        )
