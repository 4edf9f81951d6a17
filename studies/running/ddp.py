"""Several GPUs per trial under Tune: one Ray actor per rank in the trial's placement group, steered by one trainable.

Not a function trainable that starts Ray Train's TorchTrainer: that asks for a second placement group beside the
trial's, so that two trials can each hold half of what both need; puts a controller actor between a rank's death and
whoever counts it; and ends ranks by a controller that may itself be gone. Here the trial's own bundles hold the ranks,
every epoch is one step of a class trainable as with a single GPU (so a trial can be pruned after any of them), and
whoever steers holds a socket to each rank: it knows when all are gone, and they end when it is.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.tune import PlacementGroupFactory, Trainable
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from studies.running.lifeline import Lifelines
from studies.running.rank import OUT_OF_MEMORY, Answer, Rank

# Where a rank dies the others fail too, in the midst of a step, and may be heard first.
DEATH_SHOWS_WITHIN_S = 2.0
# SIGKILL frees a device's memory in seconds; what takes longer hangs in the kernel.
GONE_WITHIN_S = 60.0


class RankDied(RuntimeError):
    """A rank's process died; the trial goes on from its last epoch in new ones."""


def request_of(per_rank: Mapping[str, float], ranks: int) -> PlacementGroupFactory:
    """A trial's bundles: one per rank, and nothing for what steers them, which would wait for a core they hold."""
    return PlacementGroupFactory([{}, *({name.upper(): amount for name, amount in per_rank.items()},) * ranks])


class RanksWorker(Trainable):  # type: ignore[misc]  # Ray's classes are untyped
    """One epoch of all ranks a step; messages as those of studies.running.worker.TrialWorker. Never reused."""

    _job: Mapping[str, Any] = {}
    _lines: Lifelines | None = None
    _ranks: Sequence[Any] = ()
    _micro_batch: int | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Take a job; its ranks start in the first step, where a failure can be told."""
        self._job = json.loads(config["job"])

    def step(self) -> dict[str, Any]:
        """Run (or re-emit) one epoch; raises RankDied."""
        return {"message": json.dumps(self._message(), allow_nan=False)}

    def cleanup(self) -> None:
        """End the ranks and wait until their processes are gone: their devices are free for the next trial."""
        if self._lines is not None:
            for rank in self._ranks:
                ray.kill(rank)
            self._lines.all_gone(GONE_WITHIN_S)
            self._lines.close()
            self._lines = None

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: `last.pt` in the trial folder is the checkpoint."""

    def _message(self) -> Answer:
        while True:
            answer = self._answer()
            if OUT_OF_MEMORY not in answer:
                return answer
            smaller = (self._micro_batch or self._largest_share()) // 2
            if smaller == 0:
                return {"ended": "out_of_memory"}
            # In new processes: the other ranks are stuck in the middle of a step.
            self._micro_batch = smaller

    def _largest_share(self) -> int:
        return -(-int(self._job["settings"]["batch_size"]) // int(self._job["ranks"]))

    def _answer(self) -> Answer:
        """What the ranks have to say first; without a row they are ended."""
        try:
            if self._lines is None:
                answer = self._start()
                if answer:
                    self.cleanup()
                    return answer
            (done, *_), _ = ray.wait([self._ranks[0].next_epoch.remote(self._micro_batch), *self._following])
            answer = dict(ray.get(done))
        except RayActorError as error:
            self.cleanup()
            raise RankDied(f"a process of the trial died: {error}") from error
        if "row" not in answer:
            assert self._lines is not None
            died = self._lines.one_gone(DEATH_SHOWS_WITHIN_S)
            self.cleanup()
            if died:
                raise RankDied(f"a process of the trial died; another says: {answer}")
        return answer

    def _start(self) -> Answer:
        """Start all ranks and let them meet; the answer of one that cannot run the trial, else empty."""
        group = ray.util.get_current_placement_group()
        self._lines = Lifelines(ray.util.get_node_ip_address())
        self._ranks = [
            ray.remote(Rank)
            .options(
                num_cpus=bundle.get("CPU", 0),
                num_gpus=bundle.get("GPU", 0),
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index),
            )
            .remote(self._lines.address)
            for index, bundle in enumerate(group.bundle_specs)
        ]
        ray.get([rank.__ray_ready__.remote() for rank in self._ranks])
        self._lines.take(len(self._ranks))
        meeting = ray.get(self._ranks[0].open_meeting.remote())
        size = len(self._ranks)
        waiting = [rank.join.remote(self._job, index, size, meeting) for index, rank in enumerate(self._ranks)]
        while waiting:
            (done, *_), waiting = ray.wait(waiting)
            if answer := ray.get(done):
                return dict(answer)
        self._following = [rank.follow.remote() for rank in self._ranks[1:]]
        return {}
