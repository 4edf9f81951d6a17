"""One training epoch."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import Optimizer

from trainables.clip import GradientClip
from trainables.ema import AveragedWeights
from trainables.inference import Inference
from trainables.losses.criterion import Criterion, EpochLoss, Statistics, WholeBatch
from trainables.losses.scores import Scores
from trainables.losses.target import Target
from trainables.ranks import ALONE, Ranks
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
    micro_batch: int | None = None,
    ranks: Ranks = ALONE,
) -> float:
    """Take one optimizer step a batch, the first being step `first_step` of the trial.

    With `micro_batch`, at most so many images at a time go through the model (more where it needs more) and their
    gradients are added up. With several ranks, `batches` are this rank's part of each batch, and a gradient is that of
    its part alone: the sum over ranks is the batch's.
    Returns the epoch's loss of the model's main output over all ranks, which compares with the validation's; auxiliary
    outputs are trained beside it. Nothing waits for the device before the epoch's end.
    """
    inference.model.train()
    epoch_loss = EpochLoss(criterion)
    for step, batch in enumerate(batches, first_step):
        schedule.before_step(step)
        if micro_batch is None and ranks.size == 1:
            _whole(inference, criterion, optimizer, batch, epoch_loss)
        else:
            smallest = inference.model.smallest_batch
            parts = pieces(len(batch[0]), micro_batch, smallest)
            if micro_batch is not None and ranks.sync_batch_norm:
                # The ranks meet in every forward pass, and so need as many.
                parts = pieces(len(batch[0]), micro_batch, smallest, at_least=max(ranks.gathered(len(parts))))
            _in_pieces(inference, criterion, optimizer, batch, epoch_loss, parts, ranks)
        if clip is not None:
            clip()
        optimizer.step()
        if ema is not None:
            ema.update(step)
    return epoch_loss.value(ranks)


def _whole(
    inference: Inference, criterion: Criterion, optimizer: Optimizer, batch: Batch, epoch_loss: EpochLoss
) -> None:
    """The gradient of a batch."""
    images_BHWC, masks_BHW = batch
    masks = torch.from_numpy(masks_BHW).to(inference.device)
    main, *auxiliary = inference.outputs(images_BHWC)
    target = Target(masks, main.shape[1], masks_BHW)
    statistics = criterion.statistics(Scores(main, target))
    loss = criterion.value(statistics)
    if auxiliary and criterion.auxiliary > 0:
        loss = loss + criterion.auxiliary * _mean_loss(criterion, auxiliary, target, criterion.value)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
    epoch_loss.add(statistics)


def _in_pieces(
    inference: Inference,
    criterion: Criterion,
    optimizer: Optimizer,
    batch: Batch,
    epoch_loss: EpochLoss,
    parts: Sequence[slice],
    ranks: Ranks,
) -> None:
    """The same gradient, as far as terms add up, from pieces of a batch that may be spread over ranks."""
    images_BHWC, masks_BHW = batch
    optimizer.zero_grad()
    targets: deque[Target] = deque()
    for part in parts:
        with nullcontext() if part is parts[-1] else inference.adding_up():
            main, *auxiliary = inference.outputs(images_BHWC[part])
            if part.start == 0:
                # The whole batch's weights are known from its masks, before any of its gradients.
                targets += _targets(masks_BHW, parts, main.shape[1], inference.device)
                whole = _whole_weight(criterion, targets, len(images_BHWC), ranks)
            target = targets.popleft()
            statistics = criterion.statistics(Scores(main, target))
            value = partial(criterion.share, whole=whole, images=main.shape[0])
            loss = value(statistics)
            if auxiliary and criterion.auxiliary > 0:
                loss = loss + criterion.auxiliary * _mean_loss(criterion, auxiliary, target, value)
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        epoch_loss.add(statistics)


def pieces(count: int, size: int | None, smallest: int = 1, at_least: int = 1) -> list[slice]:
    """Slices of at most `size` of `count` images, as even as can be; rather more of them than fewer than `smallest`."""
    number = max(at_least, min(-(-count // (size or count)), count // smallest))
    ends = [count * (index + 1) // number for index in range(number)]
    return [slice(start, stop) for start, stop in zip([0, *ends], ends, strict=False)]


def _targets(
    masks_BHW: NDArray[np.uint8], parts: Sequence[slice], classes: int, device: torch.device
) -> Iterator[Target]:
    masks = torch.from_numpy(masks_BHW).to(device)
    for part in parts:
        yield Target(masks[part], classes, masks_BHW[part])


def _whole_weight(criterion: Criterion, targets: Iterable[Target], images: int, ranks: Ranks) -> WholeBatch:
    """What the terms of all pieces of all ranks are divided by."""
    sums: dict[str, torch.Tensor] = {}
    for target in targets:
        for name, weight in criterion.weights(target).items():
            sums[name] = sums[name] + weight if name in sums else weight
    weights = {name: ranks.sum(weight) for name, weight in sums.items()}
    return WholeBatch(weights, int(ranks.sum(torch.tensor(images))))


def _mean_loss(
    criterion: Criterion,
    outputs: Sequence[torch.Tensor],
    target: Target,
    value: Callable[[Statistics], torch.Tensor],
) -> torch.Tensor:
    losses = [value(criterion.statistics(Scores(logits, target))) for logits in outputs]
    return torch.stack(losses).mean()
