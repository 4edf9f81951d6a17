"""Rank 0 of a trial leads, the others follow: a trainable's methods called on all of them in one order."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from trainables.distributed import DistributedRanks
from trainables.memory import out_of_memory_told
from trainables.protocol import Context, EpochResult, State, Trainable, latency_of
from trainables.settings import TrialSettings


class RankOutOfMemory(RuntimeError):
    """A rank ran out of memory; the others wait in the middle of a step, so that all must be started anew."""


class NotOverRanks(ValueError):
    """A user's own trainable does not train over ranks."""


class Leader:
    """The trainable of rank 0, in whose steps all ranks take part; what the others need travels to them."""

    class_names: tuple[str, ...]

    def __init__(self, trainable: Trainable, ranks: DistributedRanks) -> None:
        self._trainable = trainable
        self._ranks = ranks

    def setup(self, settings: TrialSettings, context: Context) -> None:
        """Set up on all ranks; raises NotOverRanks if the trainable does not report that it trains over them."""
        self._ranks.command("setup", context.micro_batch)
        with _told():
            _set_up(self._trainable, settings, replace(context, ranks=self._ranks))
        self.class_names = self._trainable.class_names

    @property
    def applied(self) -> Mapping[str, Any]:
        """What is in force, on rank 0 as on all."""
        return self._trainable.applied

    def run_epoch(self, epoch: int) -> EpochResult:
        """Train and validate on all ranks."""
        self._ranks.command("epoch", epoch)
        with _told():
            return self._trainable.run_epoch(epoch)

    def latency(self) -> Mapping[str, Any] | None:
        """Measured on rank 0, as far as the trainable measures it."""
        return latency_of(self._trainable)

    def state(self) -> State:
        """The state of rank 0: what differs between ranks, BatchNorm's own statistics, is rank 0's."""
        return self._trainable.state()

    def load_state(self, state: State) -> None:
        """Go on from a state on all ranks."""
        self._ranks.command("load", state)
        self._trainable.load_state(state)

    def model_state(self) -> State:
        """The weights of rank 0, which are those of all."""
        return self._trainable.model_state()

    def reset(self) -> None:
        """Let go of it on all ranks, which end."""
        self._ranks.command("end")
        self._trainable.reset()


def follow(trainable: Trainable, settings: TrialSettings, context: Context, ranks: DistributedRanks) -> None:
    """Do what rank 0 does until it ends."""
    while True:
        match ranks.command():
            case ("setup", micro_batch):
                with _told():
                    _set_up(trainable, settings, replace(context, ranks=ranks, micro_batch=micro_batch))
            case ("load", state):
                trainable.load_state(state)
            case ("epoch", epoch):
                with _told():
                    trainable.run_epoch(epoch)
            case _:
                trainable.reset()
                return


@contextmanager
def _told() -> Iterator[None]:
    """Raise RankOutOfMemory where memory runs out."""
    try:
        with out_of_memory_told():
            yield
    except torch.OutOfMemoryError as error:
        raise RankOutOfMemory(str(error)) from error


def _set_up(trainable: Trainable, settings: TrialSettings, context: Context) -> None:
    trainable.setup(settings, context)
    if trainable.applied.get("ranks") != context.ranks.size:
        raise NotOverRanks(
            f"resources.gpus_per_trial: {context.ranks.size} processes train each trial, but {settings.entry} does not "
            "say that it trains over them (`ranks` in `applied`, see Context.ranks); set it to 1, or let the class "
            "take its share of every batch"
        )
