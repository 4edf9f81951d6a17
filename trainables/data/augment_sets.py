"""The named sets of augmentations as plain tables; augment.py turns them into a pipeline."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Size = tuple[int, int]  # height and width in pixels

CUSTOM = "custom"  # the set that is no row of the table: it stands in augment.pipeline

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

    Two Mars reports lost by colour, elastic and grid transforms, one of them with vertical flips among them, and kept
    mirroring or small affine moves.
    """
    affine = {"scale": (0.9, 1.1), "translate_percent": (-0.06, 0.06), "rotate": (-5, 5), **OUTSIDE}
    return Row("HorizontalFlip", 0.5), Row("Affine", 0.5, affine)


def light(size: Size) -> tuple[Row, ...]:
    """Mirroring, slight crops and light: safe for most photographs."""
    return (
        Row("HorizontalFlip", 0.5),
        crop(size, 0.3, smallest=0.7),
        Row("RandomBrightnessContrast", 0.3, {"brightness_limit": 0.15, "contrast_limit": 0.15}),
    )


def mars_offline(size: Size) -> tuple[Row, ...]:
    """For the first Mars report, which enlarged 2,615 images to 32,064 offline and does not say by what.

    Chosen here: mirroring, small affine moves, light and noise. 32,064 is 16 times 2,004: perhaps `augment.copies: 16`
    of 80 % of 2,505 images that were left without the contaminated ones.
    """
    affine = {"scale": (0.85, 1.15), "translate_percent": (-0.08, 0.08), "rotate": (-10, 10), **OUTSIDE}
    return (
        Row("HorizontalFlip", 0.5),
        Row("Affine", 0.5, affine),
        Row("RandomBrightnessContrast", 0.3, {"brightness_limit": 0.15, "contrast_limit": 0.15}),
        Row("GaussNoise", 0.2, {"std_range": (0.01, 0.04)}),
    )


def mars_affine(size: Size) -> tuple[Row, ...]:
    """The second Mars report's pipeline: Affine, horizontal and vertical flips; it publishes no probability or limit.

    Chosen here: one half each, scales of 0.9 to 1.1, moves of up to 10 %, rotations by up to 15 degrees. It made three
    copies of each image beside the original: `augment.copies: 4`.
    """
    affine = {"scale": (0.9, 1.1), "translate_percent": (-0.1, 0.1), "rotate": (-15, 15), **OUTSIDE}
    return Row("Affine", 0.5, affine), Row("HorizontalFlip", 0.5), Row("VerticalFlip", 0.5)


def mars_colour(size: Size) -> tuple[Row, ...]:
    """What hurt in the second Mars report: colour, elastic and grid transforms; limits unpublished, chosen here.

    Its ToGray is left out: the images are grey.
    """
    return (
        Row("RandomBrightnessContrast", 0.3, {"brightness_limit": 0.2, "contrast_limit": 0.2}),
        Row("CLAHE", 0.3, {"clip_limit": (1.0, 4.0)}),
        Row("RandomGamma", 0.3, {"gamma_limit": (70, 140)}),
        Row("ElasticTransform", 0.3, {"alpha": 30, "sigma": 5, **OUTSIDE}),
        Row("GaussNoise", 0.3, {"std_range": (0.02, 0.08)}),
        Row("GaussianBlur", 0.3, {"sigma_limit": (0.5, 1.5)}),
        Row("GridDistortion", 0.3, {"distort_limit": 0.2, **OUTSIDE}),
    )


def mars_mirror(size: Size) -> tuple[Row, ...]:
    """Horizontal flips alone (the third Mars report)."""
    return (Row("HorizontalFlip", 0.5),)


def mars_distort(size: Size) -> tuple[Row, ...]:
    """What cost the third Mars report about four points: vertical flips, rotations, elastic and grid distortions.

    Probabilities and limits are unpublished; chosen here.
    """
    return (
        Row("HorizontalFlip", 0.5),
        Row("VerticalFlip", 0.5),
        Row("Rotate", 0.5, {"limit": 30, **OUTSIDE}),
        Row("ElasticTransform", 0.3, {"alpha": 30, "sigma": 5, **OUTSIDE}),
        Row("GridDistortion", 0.3, {"distort_limit": 0.2, **OUTSIDE}),
    )


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
    "mars_offline": mars_offline,
    "mars_affine": mars_affine,
    "mars_colour": mars_colour,
    "mars_mirror": mars_mirror,
    "mars_distort": mars_distort,
    "light": light,
    "strong": strong,
}
