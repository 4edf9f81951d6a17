"""Pictures with their masks, and masks as colours with a legend."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dashboards.palette import IGNORED_PIXELS, class_colour

IGNORE = 255


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


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
