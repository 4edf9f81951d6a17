"""One training epoch."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import Optimizer

from trainables.clip import GradientClip
from trainables.ema import AveragedWeights
from trainables.inference import Inference
from trainables.losses.criterion import Criterion, EpochLoss
from trainables.losses.scores import Scores
from trainables.losses.target import Target
from trainables.schedules import Schedule

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def train_epoch(
    inference: Inference,
    criterion: Criterion,
    optimizer: Optimizer,
    schedule: Schedule,
    batches: Iterable[Batch],
    first_step: int,
    *,
    clip: GradientClip | None = None,
    ema: AveragedWeights | None = None,
) -> float:
    """Take one optimizer step a batch, the first being step `first_step` of the trial.

    Returns the epoch's loss of the model's main output, which compares with the validation's; auxiliary outputs are
    trained beside it. Nothing waits for the device before the epoch's end.
    """
    inference.model.train()
    epoch_loss = EpochLoss(criterion)
    for step, (images_BHWC, masks_BHW) in enumerate(batches, first_step):
        schedule.before_step(step)
        masks = torch.from_numpy(masks_BHW).to(inference.device)
        main, *auxiliary = inference.outputs(images_BHWC)
        target = Target(masks, main.shape[1], masks_BHW)
        statistics = criterion.statistics(Scores(main, target))
        loss = criterion.value(statistics)
        if auxiliary and criterion.auxiliary > 0:
            loss = loss + criterion.auxiliary * _mean_loss(criterion, auxiliary, target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        if clip is not None:
            clip()
        optimizer.step()
        if ema is not None:
            ema.update(step)
        epoch_loss.add(statistics)
    return epoch_loss.value()


def _mean_loss(criterion: Criterion, outputs: Sequence[torch.Tensor], target: Target) -> torch.Tensor:
    losses = [criterion.value(criterion.statistics(Scores(logits, target))) for logits in outputs]
    return torch.stack(losses).mean()
