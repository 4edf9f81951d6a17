"""Decode images and masks from files; whatever is wrong with a file is said with its name."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.data.errors import DataError

GREY_MODES = {"1", "L", "LA"}
COLOUR_MODES = {"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr"}
# What Pillow's decoders raise for truncated, damaged and absurdly large files, by format.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, Image.DecompressionBombError)
LABEL_MODES = {"1", "L", "P", "I", "I;16", "I;16B"}


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The image file, its pixels not yet decoded; a DataError that names the file if opening or decoding fails."""
    try:
        with warnings.catch_warnings():
            # Pillow also warns of damaged metadata, which harms no pixel; damaged pixels are errors.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
            with Image.open(path) as picture:
                yield picture
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(
            f"{path} is truncated or no readable image ({error}): replace it or name it in data.drop"
        ) from error


def image_shape(path: Path) -> tuple[int, int, int]:
    """(height, width, channels) from the file's header; channels are 1 for grey and 3 for colour."""
    with opened(path) as picture:
        if picture.mode not in GREY_MODES | COLOUR_MODES:
            raise DataError(f"{path} has pixels of mode {picture.mode}: expected 8 bits per channel, grey or colour")
        return picture.height, picture.width, 1 if picture.mode in GREY_MODES else 3


def mask_shape(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header."""
    with opened(path) as picture:
        return picture.height, picture.width


def decode_image(path: Path) -> np.ndarray:
    """uint8 [H, W, 1] for grey, [H, W, 3] for colour (RGB); transparency is dropped."""
    channels = image_shape(path)[2]
    with opened(path) as picture:
        pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def decode_mask(path: Path) -> np.ndarray:
    """Label ids [H, W]: grey values, palette indices, or the common value of three equal channels."""
    with opened(path) as picture:
        if picture.mode in LABEL_MODES:
            return np.array(picture).astype(np.int32)
        if picture.mode in {"RGB", "RGBA", "LA"}:
            channels = np.asarray(picture.convert("RGB"))
            if (channels == channels[..., :1]).all():
                return channels[..., 0].astype(np.int32)
    raise DataError(f"{path} is a colour picture: expected a mask of label ids (grey) or with a palette")
