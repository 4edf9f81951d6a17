"""Pictures with their masks, masks as colours with a legend, and what is wrong in a prediction."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dashboards.palette import IGNORED_PIXELS, class_colour

IGNORE = 255
# What a prediction has wrong of one class, and what else is wrong.
MISSED, FALSE, OTHER = "#ff2d7a", "#5b00d6", "#8a8f98"
ERRORS_OF_A_CLASS = (("the class, missed", MISSED), ("taken for it", FALSE), ("other errors", OTHER))
ERRORS = (("wrong", MISSED),)
# A thumbnail is as wide at most.
THUMBNAIL_PX = 360


@dataclass(frozen=True)
class Picture:
    """An image (uint8 HWC, C 1 or 3), its mask and a prediction (uint8 [H, W] class ids, 255 ignored)."""

    name: str
    image_HWC: NDArray[np.uint8]
    truth_HW: NDArray[np.uint8]
    prediction_HW: NDArray[np.uint8]


def read_pictures(path: Path) -> list[Picture]:
    """The pictures of an npz file that the training wrote, none where there is no such file."""
    if not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as arrays:
        return [
            Picture(str(name), arrays[f"image_{i}"], arrays[f"truth_{i}"], arrays[f"prediction_{i}"])
            for i, name in enumerate(arrays["names"])
        ]


def colour_mask(mask_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask of class ids as colours, uint8 [H, W, 3]; ignored pixels are black."""
    return np.asarray(mask_palette()[mask_HW], dtype=np.uint8)


def mask_palette() -> NDArray[np.uint8]:
    """The colours of all class ids and of ignored pixels, uint8 [256, 3]."""
    return np.array([_rgb(class_colour(index)) for index in range(IGNORE)] + [_rgb(IGNORED_PIXELS)], dtype=np.uint8)


def legend(pictures: Sequence[Picture], names: Sequence[str]) -> list[tuple[str, str]]:
    """Labels and colours of the classes in truth or prediction, ignored pixels last."""
    present = np.unique(np.concatenate([np.unique([p.truth_HW, p.prediction_HW]) for p in pictures])).tolist()
    entries = [(class_name(names, index), class_colour(index)) for index in present if index != IGNORE]
    return entries + ([("ignored", IGNORED_PIXELS)] if IGNORE in present else [])


def class_name(names: Sequence[str], index: int) -> str:
    """The name of class `index`, or its number where the study has no name for it."""
    return names[index] if index < len(names) else f"class {index}"


def side_by_side(picture: Picture) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Image, truth and prediction as uint8 [H, W, 3] arrays of the mask's size, at which they were compared."""
    height, width = picture.truth_HW.shape
    image = picture.image_HWC
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    if image.shape[:2] != (height, width):
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    return image, colour_mask(picture.truth_HW), colour_mask(picture.prediction_HW)


def error_picture(picture: Picture, label: int | None = None) -> NDArray[np.uint8]:
    """Where the prediction is wrong, uint8 [H, W, 3], over the faded image; ignored pixels are black.

    Of class `label`, what is missed and what is wrongly taken for it stand out from the other errors.
    """
    truth_HW, prediction_HW = picture.truth_HW, picture.prediction_HW
    grey_HW = side_by_side(picture)[0].mean(axis=2)
    shown_HWC = np.repeat((190 + grey_HW * 0.25).astype(np.uint8)[:, :, None], 3, axis=2)
    wrong_HW = truth_HW != prediction_HW
    shown_HWC[wrong_HW] = _rgb(MISSED if label is None else OTHER)
    if label is not None:
        shown_HWC[wrong_HW & (truth_HW == label)] = _rgb(MISSED)
        shown_HWC[wrong_HW & (prediction_HW == label)] = _rgb(FALSE)
    shown_HWC[truth_HW == IGNORE] = _rgb(IGNORED_PIXELS)
    return shown_HWC


def thumbnail(array: NDArray[np.uint8], *, photograph: bool = False) -> str:
    """A picture uint8 [H, W, 3] as a data URI, at most 360 pixels wide; a photograph as JPEG, else with its colours."""
    image = Image.fromarray(array)
    if image.width > THUMBNAIL_PX:
        size = (THUMBNAIL_PX, max(1, round(image.height * THUMBNAIL_PX / image.width)))
        image = image.resize(size, Image.Resampling.LANCZOS if photograph else Image.Resampling.NEAREST)
    return data_uri(image, "JPEG", quality=85) if photograph else data_uri(image, "PNG", optimize=True)


def data_uri(image: Image.Image, kind: str, **options: int) -> str:
    """An image as a data URI of a format of Pillow's, with that format's options."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
