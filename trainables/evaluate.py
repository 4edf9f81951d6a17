"""Evaluation of a trial's best weights on a split, computed as its validation was."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.checkpoint import CheckpointError, read_checkpoint
from trainables.class_names import label_ids
from trainables.data.split_data import SplitData
from trainables.device import choose_device
from trainables.inference import place
from trainables.losses.criterion import build_criterion
from trainables.memory import while_it_fits
from trainables.metrics import miou_of
from trainables.models.build import build_model
from trainables.pictures import shown_indices, take_pictures
from trainables.protocol import Pictures
from trainables.settings import TrialSettings
from trainables.validation import Validation, validate


@dataclass(frozen=True)
class Evaluation:
    """Counts int64 over the split and per image (rows target), mIoU, the trial's loss, the unweighted cross-entropy."""

    counts_KK: NDArray[np.int64]
    per_image_counts_NKK: NDArray[np.int64]
    miou: float
    loss: float
    ce: float
    pictures: Pictures


def evaluate_checkpoint(
    best: Path,
    settings: TrialSettings,
    data: SplitData,
    *,
    pictures: Collection[int] | None = None,
    device: torch.device | None = None,
) -> Evaluation:
    """Evaluate a best.pt on a split, at the trial's own batch size and precision and torch's current threads.

    Fewer images at a time where they do not fit into memory.

    `pictures` are indices of the images to keep, four evenly spaced ones by default. Raises CheckpointError if the
    checkpoint knows other classes than the data.
    """
    content = read_checkpoint(best, "class_names", "model", "applied")
    if tuple(content["class_names"]) != data.class_names:
        raise CheckpointError(
            f"{best} was trained for the classes {', '.join(content['class_names'])}, the data have "
            f"{', '.join(data.class_names)}"
        )
    device = device or choose_device()
    # Only the architecture is asked for: all weights come from the checkpoint and nothing trains.
    plain = settings.model.model_copy(update={"weights": None, "unfreeze": "all"})
    net = build_model(plain, data.images_NHWC.shape[-1], len(data.class_names))
    net.net.load_state_dict(content["model"])
    weights_K = json.loads(content["applied"])["class_weights"]
    inference = place(net, settings, device)
    criterion = build_criterion(settings.loss, weights_K, data.class_names, device)
    ignored = label_ids(settings.metric.ignore_target, data.class_names, "metric.ignore_target")
    shown = shown_indices(data) if pictures is None else pictures

    def measured(batch: int) -> Validation:
        return validate(inference, criterion, data, batch, ignore_target=ignored, pictures=shown, per_image=True)

    validation, _ = while_it_fits(measured, settings.batch_size, device)
    assert validation.per_image_counts_NKK is not None  # asked for
    return Evaluation(
        counts_KK=validation.counts_KK,
        per_image_counts_NKK=validation.per_image_counts_NKK,
        miou=miou_of(validation.counts_KK, label_ids(settings.metric.exclude, data.class_names, "metric.exclude")),
        loss=validation.loss,
        ce=validation.ce,
        pictures=take_pictures(data, validation.predictions),
    )
