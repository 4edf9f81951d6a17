"""A trial in its folder that two real processes train: rank 0 leads and writes, rank 1 follows."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.two_ranks import on_two_ranks
from trainables.protocol import Context
from trainables.rank_roles import Leader, NotOverRanks, RankOutOfMemory, follow
from trainables.segmentation import SegmentationTrainable
from trainables.settings import TrialSettings
from trainables.trial_run import TrialRun

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
EPOCHS = 3


class Unaware(SegmentationTrainable):
    """One that takes whole batches and says nothing of ranks."""

    def setup(self, settings: TrialSettings, context: Context) -> None:
        super().setup(settings, Context(context.folder, context.cache, context.device, context.threads))


class Large(SegmentationTrainable):
    """One whose second rank runs out of memory in the first epoch."""

    def run_epoch(self, epoch: int) -> Any:
        if self._ranks.rank == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().run_epoch(epoch)


def a_trial(ranks: Any, kind: type[SegmentationTrainable], folder: Path, settings: TrialSettings, epochs: int) -> Any:
    """The values of some epochs on rank 0; on rank 1 what it ended with."""
    cache = folder.parent / "cache"
    if ranks.rank > 0:
        try:
            return follow(kind(), settings, Context(cache, cache, CPU, 1), ranks)
        except (NotOverRanks, RankOutOfMemory) as error:
            return type(error).__name__
    try:
        run = TrialRun(settings, folder, cache, device=CPU, trainable=Leader(kind(), ranks))
        values = [run.next_row()["value"] for _ in range(epochs)]
        run.reset()
        return values, os.getpid()
    except NotOverRanks as error:
        return str(error)


def scenarios(ranks: Any, root: Path, settings: TrialSettings) -> list[Any]:
    whole = a_trial(ranks, SegmentationTrainable, root / "whole", settings, EPOCHS)
    cut = a_trial(ranks, SegmentationTrainable, root / "cut", settings, 1)
    rest = a_trial(ranks, SegmentationTrainable, root / "cut", settings, EPOCHS)
    refused = a_trial(ranks, Unaware, root / "unaware", settings, 1)
    return [whole, cut, rest, refused, an_end(ranks, root, settings)]


def an_end(ranks: Any, root: Path, settings: TrialSettings) -> Any:
    if ranks.rank > 0:
        return a_trial(ranks, Large, root / "large", settings, 1)
    # Rank 0 would wait for the other in the middle of its step, until it is ended from outside.
    ranks.command("setup", None)
    Leader(Large(), ranks)._trainable.setup(settings, Context(root / "cache", root / "cache", CPU, 1, None, ranks))
    ranks.command("epoch", 1)
    return None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("whole", "cut", "unaware", "large", "cache"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_two_ranks_train_a_trial_and_go_on_with_it(root: Path, terrain_settings: Any) -> None:
    settings = terrain_settings(epochs=EPOCHS, optimizer={"name": "adamw", "lr": 3e-3, "ema": 0.9})
    (whole, cut, rest, refused, _), (*followed, unaware, large) = on_two_ranks(scenarios, root, settings)
    assert followed == [None, None, None]
    assert len(whole[0]) == EPOCHS
    assert cut[0] == whole[0][:1]
    # The optimizer's state and the averages reached rank 1 too.
    assert rest[0] == whole[0]
    rows = [json.loads(line) for line in (root / "cut" / "epochs.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert {row["worker"].rpartition(":")[2] for row in rows} == {str(whole[1])}
    assert json.loads((root / "whole" / "applied.json").read_text())["ranks"] == 2
    assert "does not say that it trains over them" in refused
    assert unaware == "NotOverRanks"
    # Told apart from what a trial of one process mends by itself.
    assert large == "RankOutOfMemory"
