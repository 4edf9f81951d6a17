"""Cleaning of the training split: steps that are searched like any other setting and never touch validation.

In this order: contaminated images are left out, then those of outlying brightness, the masks of the others are refined,
and pseudo-labelled images are added. Class statistics are those of the result. The result is written once and mapped.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.clean_settings import CleanSettings, PseudoLabelSettings
from trainables.data.derived import Row, derive, row_of
from trainables.data.errors import DataError
from trainables.data.pseudo_labels import Origin, PseudoLabels, read_origin, read_pseudo_labels
from trainables.data.refine import refined
from trainables.data.settings import DataSettings
from trainables.data.similarity import Thumbnails, contaminated, thumbnails_of
from trainables.data.split_data import SplitData, resize_image, resize_mask
from trainables.data.splits import IGNORE

VERSION = 1  # part of the key: raise it when a step does something else


def cleaned(data: SplitData, settings: DataSettings, cache: Path) -> SplitData:
    """The training split after the steps of `data.clean`, in a cache folder of its own; `data` itself without any.

    Raises DataError where nothing is left, and for pseudo-labels of other training images, classes or channels.
    """
    clean = settings.clean
    added = None if clean.pseudo_labels.file is None else Path(clean.pseudo_labels.file).expanduser()
    if not clean.drop_contaminated and clean.outliers is None and not clean.refine.radius and added is None:
        return data
    recipe: dict[str, Any] = {"clean": clean.model_dump(exclude={"pseudo_labels"}), "version": VERSION}
    count = len(data.names)
    if added is not None:
        # Known by its content, so that a file that was moved or written again with the same labels is the same.
        origin = checked_origin(added, data)
        recipe["pseudo_labels"] = [origin.digest, clean.pseudo_labels.confidence]
        count += origin.images
    return derive(data, recipe, lambda: rows(data, clean), count, cache)


def rows(data: SplitData, clean: CleanSettings) -> Iterator[Row]:
    """The samples after all steps; DataError where none of the split's own is left."""
    kept = np.arange(len(data.names))
    if clean.drop_contaminated:
        kept = np.setdiff1d(kept, contaminated_images(data))
        require_any(kept, "data.clean.drop_contaminated leaves no training image: all share a mask with unlike ones")
    if clean.outliers is not None:
        kept = kept[~outlying(brightness(data)[kept], clean.outliers)]
        require_any(kept, f"data.clean.outliers {clean.outliers:g} leaves no training image: set a larger one")
    for index in kept.tolist():
        row = row_of(data, index)
        if clean.refine.radius:
            mask_HW = refined(row.image_HWC, row.mask_HW, clean.refine.radius, clean.refine.variation)
            row = row._replace(mask_HW=mask_HW, own_mask_HW=resize_own(mask_HW, row.own_mask_HW))
        yield row
    if clean.pseudo_labels.file is not None:
        yield from pseudo_rows(data, clean.pseudo_labels)


def contaminated_images(data: SplitData) -> list[int]:
    """Indices of the images that share one mask, of two classes or more, with images unlike them."""
    digests = [mask_digest(data.own_mask(index)) for index in range(len(data.names))]
    return contaminated(digests, Thumbnails.of(thumbnails_of(data.images_NHWC)))


def mask_digest(mask_HW: np.ndarray) -> str | None:
    """SHA-256 of a mask's size and labels; None for a mask of one label beside ignored pixels, which many may share."""
    if len(np.unique(mask_HW[mask_HW != IGNORE])) < 2:
        return None
    return hashlib.sha256(repr(mask_HW.shape).encode() + mask_HW.astype(np.uint8).tobytes()).hexdigest()


def brightness(data: SplitData) -> np.ndarray:
    """Mean pixel value [N] of each image, over its channels."""
    return np.array([float(image_HWC.mean()) for image_HWC in data.images_NHWC])


def outlying(means_N: np.ndarray, deviations: float) -> np.ndarray:
    """Which mean pixel values are further from the mean of all than so many standard deviations."""
    return np.asarray(np.abs(means_N - means_N.mean()) > deviations * means_N.std())


def resize_own(mask_HW: np.ndarray, own_mask_HW: np.ndarray) -> np.ndarray:
    """A changed mask at the size of the sample's own one, of which the classes' pixels are counted."""
    return resize_mask(mask_HW, (own_mask_HW.shape[0], own_mask_HW.shape[1]))


def checked_origin(path: Path, data: SplitData) -> Origin:
    """Where a file of pseudo-labels comes from; DataError unless its model was trained on this training split."""
    origin = read_origin(path)
    if origin.fingerprint != data.fingerprint:
        raise DataError(
            f"data.clean.pseudo_labels.file: trial {origin.trial} of study {origin.study!r} that predicted {path} was "
            f"trained on other images (fingerprint {origin.fingerprint[:12]}, here {data.fingerprint[:12]}), some of "
            "which may lie in this validation split: write the file from a study of this split"
        )
    if origin.class_names != data.class_names:
        raise DataError(
            f"data.clean.pseudo_labels.file: {path} has the classes {', '.join(origin.class_names)}, the data set has "
            f"{', '.join(data.class_names)}"
        )
    return origin


def pseudo_rows(data: SplitData, settings: PseudoLabelSettings) -> Iterator[Row]:
    """Samples of the file's images, pixels of less confidence ignored; images without a confident one are left out."""
    assert settings.file is not None
    found: PseudoLabels = read_pseudo_labels(Path(settings.file).expanduser())
    height, width, channels = data.images_NHWC.shape[1:]
    if found.images_NHWC.shape[3] != channels:
        raise DataError(
            f"data.clean.pseudo_labels.file: images of {settings.file} have {found.images_NHWC.shape[3]} channels, "
            f"those of the data set {channels}"
        )
    # Where masks have sizes of their own, classes are counted there: a pseudo-label counts like the first image's.
    own_size = (int(data.own_shapes_N2[0, 0]), int(data.own_shapes_N2[0, 1]))
    sure_NHW = found.confidence_NHW >= np.float16(settings.confidence)
    for index in np.flatnonzero(sure_NHW.any(axis=(1, 2))).tolist():
        labels_HW = np.where(sure_NHW[index], found.labels_NHW[index], IGNORE).astype(np.uint8)
        yield Row(
            name=f"pseudo-label {found.names[index]}",
            group=f"pseudo-label {found.names[index]}",
            image_HWC=resize_image(found.images_NHWC[index], (height, width)),
            mask_HW=resize_mask(labels_HW, (height, width)),
            own_mask_HW=resize_mask(labels_HW, own_size),
        )


def require_any(kept: np.ndarray, message: str) -> None:
    """Raise DataError where no image is left."""
    if not len(kept):
        raise DataError(message)
