"""Measuring a model on a split: one confusion matrix, losses, and the predictions for a few images."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.batches import eval_batches
from trainables.data.split_data import SplitData
from trainables.inference import Inference, resize_logits
from trainables.losses.criterion import Criterion, EpochLoss
from trainables.losses.scores import Scores
from trainables.losses.settings import LossSettings
from trainables.losses.target import Target
from trainables.metrics import ConfusionMatrix
from trainables.ranks import ALONE, Ranks

# Logits at the masks' own size are made for a few images at a time: 128 MiB of them at most, where more than one.
MOST_LOGITS = 2**25


@dataclass
class Validation:
    """What a pass over a split gave; `ce` is the unweighted cross-entropy."""

    counts_KK: NDArray[np.int64]
    loss: float
    ce: float
    predictions: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    per_image_counts_NKK: NDArray[np.int64] | None = None


@torch.no_grad()
def validate(
    inference: Inference,
    criterion: Criterion,
    data: SplitData,
    batch_size: int,
    *,
    ignore_target: Collection[int] = (),
    pictures: Collection[int] = (),
    per_image: bool = False,
    ranks: Ranks = ALONE,
) -> Validation:
    """Predict all images of the split against their masks at the masks' own sizes.

    `pictures` are the indices of images whose predictions are kept; `per_image` also counts each image by itself.
    Several ranks take batches in turn and each get the result of all: no image is counted twice.
    """
    inference.model.eval()
    classes = len(data.class_names)
    matrix = ConfusionMatrix(classes, inference.device, ignore_target)
    plain = Criterion(LossSettings(), None)
    loss, ce = EpochLoss(criterion), EpochLoss(plain)
    result = Validation(np.zeros((classes, classes), dtype=np.int64), float("nan"), float("nan"))
    images_KK = []
    for indices, images_BHWC, masks in eval_batches(data, batch_size, ranks):
        logits_BKHW = inference.logits(images_BHWC)
        for start, stop in _same_size(masks, classes):
            logits = resize_logits(logits_BKHW[start:stop], masks[start].shape)
            labels = np.stack(masks[start:stop])
            target = torch.from_numpy(labels).to(inference.device)
            scores = Scores(logits, Target(target, classes, labels))
            loss.add(criterion.statistics(scores))
            ce.add(plain.statistics(scores))
            # Not argmax, which is five times slower over planes on a CPU; both take the first of equals.
            prediction = logits.max(dim=1).indices
            matrix.update(prediction, target)
            for offset in range(stop - start):
                index = indices.start + start + offset
                if index in pictures:
                    result.predictions[index] = prediction[offset].to(torch.uint8).cpu().numpy()
                if per_image:
                    one = ConfusionMatrix(classes, inference.device, ignore_target)
                    one.update(prediction[offset], target[offset])
                    images_KK.append(one.counts_KK.cpu().numpy())
    result.counts_KK = ranks.sum(matrix.counts_KK).cpu().numpy()
    result.loss, result.ce = loss.value(ranks), ce.value(ranks)
    result.predictions = {index: one for part in ranks.gathered(result.predictions) for index, one in part.items()}
    if per_image:
        result.per_image_counts_NKK = np.stack(images_KK)
    return result


def _same_size(masks: Sequence[NDArray[np.uint8]], classes: int) -> Iterator[tuple[int, int]]:
    """Runs of masks of one size whose logits together are not too many."""
    start = 0
    while start < len(masks):
        most = max(1, MOST_LOGITS // (classes * masks[start].size))
        stop = start + 1
        while stop < len(masks) and stop - start < most and masks[stop].shape == masks[start].shape:
            stop += 1
        yield start, stop
        start = stop
