"""Pseudo-labels: a promoted trial's predictions for images without masks, with their confidence."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from studies.promotion.promoted import promoted_weights
from studies.stored import StudyError, load_settings, open_study
from studies.workspace import Workspace
from trainables.data.errors import DataError
from trainables.data.formats.decode import decode_image
from trainables.data.formats.files import files_by_stem
from trainables.data.formats.npz import unlabelled_images
from trainables.data.formats.table import open_dataset
from trainables.data.pseudo_labels import PseudoLabels, write_pseudo_labels
from trainables.data.settings import DataSettings
from trainables.data.split_data import resize_image
from trainables.device import choose_device
from trainables.inference import resize_logits
from trainables.predictor import Predictor

BATCH = 16


def pseudo_label(name: str, workspace: Workspace, output: Path, *, data: str | None, images: Path | None) -> int:
    """Predict unlabelled images with the promoted trial of study `name` and write the file; returns their number.

    The images are those of the folder `images`, else the unlabelled array of the study's .npz file (`data` says where
    that lies now). They are stored at the size the model was trained at. Raises ValueError for what the user can mend.
    """
    settings = load_settings(name, workspace)
    attributes = open_study(name, workspace).user_attrs
    record, best = promoted_weights(name, workspace)
    if record.get("refit"):
        # It has seen the validation images: its labels would carry them into training.
        raise StudyError(
            f"the promoted model of study {name!r} was refit on training and validation images; pseudo-labels need one "
            "that saw training alone: promote a trial as it is"
        )
    chosen = settings.trial.data if data is None else settings.trial.data.model_copy(update={"root": data})
    names, pictures = folder_images(images, chosen) if images is not None else unlabelled_images(chosen)
    predictor = Predictor.load(best, choose_device())
    sized = _sized(names, pictures, predictor)
    labels_NHW, confidence_NHW = predict(sized, predictor)
    write_pseudo_labels(
        output,
        PseudoLabels(tuple(names), sized, labels_NHW, confidence_NHW),
        predictor.class_names,
        attributes["facts"]["fingerprints"]["train"],
        name,
        record["trial"],
    )
    return len(names)


@torch.no_grad()
def predict(images_NHWC: np.ndarray, predictor: Predictor) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class uint8 [N, H, W] of every pixel and its probability float16."""
    labels, confidences = [], []
    for start in range(0, len(images_NHWC), BATCH):
        batch = images_NHWC[start : start + BATCH]
        logits_BKHW = resize_logits(predictor.inference.logits(batch), (batch.shape[1], batch.shape[2]))
        confidence, label = logits_BKHW.softmax(dim=1).max(dim=1)
        labels.append(label.to(torch.uint8).cpu().numpy())
        confidences.append(confidence.cpu().numpy().astype(np.float16))
    return np.concatenate(labels), np.concatenate(confidences)


def folder_images(folder: Path, settings: DataSettings) -> tuple[tuple[str, ...], Iterator[np.ndarray]]:
    """Names and images of a folder; DataError if any is an image of the data set itself, whose test split is closed."""
    found = files_by_stem(folder)
    own = {sample.image.resolve() for sample in open_dataset(settings).samples if sample.image is not None}
    if clashes := sorted(path.name for path in found.values() if path.resolve() in own):
        raise DataError(
            f"{folder} holds {len(clashes)} images of the data set itself, such as {clashes[0]}: they have masks, and "
            "some may be test images; expected images without masks"
        )
    if not found:
        raise DataError(f"{folder} holds no images")
    return tuple(found), (decode_image(path) for path in found.values())


def _sized(names: tuple[str, ...], pictures: "Iterator[np.ndarray] | np.ndarray", predictor: Predictor) -> np.ndarray:
    """Images uint8 [N, H, W, C] with the channels and at the size the model knows."""
    made: list[np.ndarray] = []
    for name, picture in zip(names, pictures, strict=True):
        image_HWC = np.repeat(picture, 3, axis=2) if predictor.channels == 3 and picture.shape[2] == 1 else picture
        if image_HWC.shape[2] != predictor.channels:
            raise DataError(f"{name!r} has {image_HWC.shape[2]} channels, the model knows {predictor.channels}")
        image_HWC = image_HWC if predictor.size is None else resize_image(image_HWC, predictor.size)
        if made and image_HWC.shape != made[0].shape:
            raise DataError(
                f"{name!r} is {image_HWC.shape[0]}x{image_HWC.shape[1]} but {names[0]!r} is {made[0].shape[0]}x"
                f"{made[0].shape[1]}: the study sets no data.size, so that all images must be of one size"
            )
        made.append(image_HWC)
    return np.stack(made)
