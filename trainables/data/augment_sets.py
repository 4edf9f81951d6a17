"""The named sets of augmentations as plain tables; augment.py turns them into a pipeline."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Size = tuple[int, int]  # height and width in pixels

# Where a transform moves pixels in from outside, the image is black there and the mask is ignored.
OUTSIDE: dict[str, Any] = {"border_mode": 0, "fill": 0, "fill_mask": 255}


@dataclass(frozen=True)
class Row:
    """One transform of albumentations, its probability at strength 1, and its arguments."""

    transform: str
    probability: float
    arguments: dict[str, Any] = field(default_factory=dict)


def crop(size: Size, probability: float, smallest: float) -> Row:
    """A random crop of `smallest` to 1 of the area in the image's own proportions, resized back."""
    proportion = size[1] / size[0]
    arguments = {"size": size, "scale": (smallest, 1.0), "ratio": (proportion, proportion)}
    return Row("RandomResizedCrop", probability, arguments)


def none(size: Size) -> tuple[Row, ...]:
    """Images as they are."""
    return ()


def flips(size: Size) -> tuple[Row, ...]:
    """Horizontal and vertical flips (the VOC 2012 report)."""
    return Row("HorizontalFlip", 0.5), Row("VerticalFlip", 0.5)


def indoor(size: Size) -> tuple[Row, ...]:
    """The published table of the SUN RGB-D report; order and probabilities are its own.

    Crop size and rotation limit are unpublished: chosen here are crops of half to all of the area, resized back, and
    rotations by up to 15 degrees; brightness and contrast change by up to 20 %.
    """
    return (
        Row("HorizontalFlip", 0.5),
        Row("VerticalFlip", 0.5),
        crop(size, 0.2, smallest=0.5),
        Row("RandomBrightnessContrast", 0.2, {"brightness_limit": 0.2, "contrast_limit": 0.2}),
        Row("Rotate", 0.1, {"limit": 15, **OUTSIDE}),
    )


def terrain(size: Size) -> tuple[Row, ...]:
    """For ground seen by a rover: mirrored and slightly moved; up stays up, and shading and texture stay.

    The Mars reports lost by vertical flips, colour and elastic transforms and gained by mirroring and small shifts.
    """
    affine = {"scale": (0.9, 1.1), "translate_percent": (-0.06, 0.06), "rotate": (-5, 5), **OUTSIDE}
    return Row("HorizontalFlip", 0.5), Row("Affine", 0.5, affine)


def strong(size: Size) -> tuple[Row, ...]:
    """Everything at once, for small data sets and long trials."""
    affine = {
        "scale": (0.75, 1.25),
        "translate_percent": (-0.1, 0.1),
        "rotate": (-20, 20),
        "shear": (-8, 8),
        **OUTSIDE,
    }
    return (
        Row("HorizontalFlip", 0.5),
        Row("VerticalFlip", 0.2),
        crop(size, 0.5, smallest=0.35),
        Row("Affine", 0.5, affine),
        Row("GridDistortion", 0.2, {"distort_limit": 0.2, **OUTSIDE}),
        Row("RandomBrightnessContrast", 0.5, {"brightness_limit": 0.3, "contrast_limit": 0.3}),
        Row("RandomGamma", 0.2, {"gamma_limit": (70, 140)}),
        Row("GaussNoise", 0.2, {"std_range": (0.02, 0.08)}),
        Row("GaussianBlur", 0.1, {"sigma_limit": (0.5, 1.5)}),
    )


AUGMENT_SETS: dict[str, Callable[[Size], tuple[Row, ...]]] = {
    "none": none,
    "flips": flips,
    "indoor": indoor,
    "terrain": terrain,
    "strong": strong,
}
