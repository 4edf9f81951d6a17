"""One training epoch."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import Optimizer

from trainables.inference import Inference
from trainables.losses.criterion import Criterion, EpochLoss
from trainables.losses.scores import Scores
from trainables.schedules import Schedule

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def train_epoch(
    inference: Inference,
    criterion: Criterion,
    optimizer: Optimizer,
    schedule: Schedule,
    batches: Iterable[Batch],
    first_step: int,
) -> float:
    """Take one optimizer step a batch, the first being step `first_step` of the trial; returns the epoch's loss.

    Nothing waits for the device before the epoch's end.
    """
    inference.model.train()
    epoch_loss = EpochLoss(criterion)
    for step, (images_BHWC, masks_BHW) in enumerate(batches, first_step):
        schedule.before_step(step)
        masks = torch.from_numpy(masks_BHW).to(inference.device)
        statistics = criterion.statistics(Scores(inference.logits(images_BHWC), masks))
        optimizer.zero_grad()
        criterion.value(statistics).backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimizer.step()
        epoch_loss.add(statistics)
    return epoch_loss.value()
