"""A user's own augmentation, in the serialised form of albumentations."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.data.errors import DataError
from trainables.data.splits import IGNORE

if TYPE_CHECKING:
    from albumentations import Compose

SETTING = "augment.pipeline"
CLASS = "__class_fullname__"
# A container whose own probability says whether its children run at all; theirs are shares among themselves.
WRAPPERS = ("Compose", "Sequential")
# Pixels that a transform moves in from outside are ignored, and labels are never mixed.
MASK_ARGUMENTS = {"fill_mask": IGNORE, "mask_interpolation": 0}
PROBE_DRAWS = 8
PROBE_LABEL = 7


def custom_pipeline(declared: dict[str, Any] | None, strength: float, size: tuple[int, int] | None) -> Compose:
    """The declared pipeline with masks kept safe and every probability times `strength`, capped at 1.

    What albumentations.to_dict gives; nothing else than its transforms is instantiated. Raises DataError for a pipeline
    that is missing or malformed, or that changes the images' size (height, width; not looked at while it is unknown) or
    invents labels.
    """
    import albumentations

    if declared is None:
        raise DataError(f"{SETTING}: missing; expected what albumentations.to_dict(pipeline) gives, for set custom")
    form = copy.deepcopy(declared)
    root = form.get("transform")
    if not isinstance(root, dict) or not isinstance(root.get("transforms"), list):
        raise DataError(
            f"{SETTING}: expected a mapping with `transform`, a Compose of transforms (albumentations.to_dict), got "
            f"the keys {', '.join(map(str, form)) or 'none'}"
        )
    for node in _nodes(root):
        _make_safe(node, strength, albumentations)
    try:
        with warnings.catch_warnings():
            # albumentations only warns of arguments that a transform does not have.
            warnings.simplefilter("error", UserWarning)
            pipeline: Compose = albumentations.from_dict(form)
    except (KeyError, TypeError, ValueError, UserWarning) as error:
        raise DataError(f"{SETTING}: albumentations cannot build it: {' '.join(str(error).split())[:300]}") from error
    if size is not None:
        _probe(pipeline, size)
    return pipeline


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(node, dict) or not isinstance(node.get(CLASS), str):
        raise DataError(f"{SETTING}: expected each transform to be a mapping with {CLASS}, got {node!r:.80}")
    yield node
    for child in node.get("transforms", ()):
        yield from _nodes(child)


def _make_safe(node: dict[str, Any], strength: float, albumentations: Any) -> None:
    name = node[CLASS].rsplit(".", 1)[-1]
    kind = getattr(albumentations, name, None)
    if not isinstance(kind, type) or not issubclass(kind, albumentations.BasicTransform | albumentations.BaseCompose):
        raise DataError(f"{SETTING}: albumentations has no transform {node[CLASS]!r}")
    # Names of other packages would be imported from wherever they point.
    node[CLASS] = name
    for argument, value in MASK_ARGUMENTS.items():
        if argument in node:
            node[argument] = value
    for child in node.get("transforms", ()):
        if name in WRAPPERS:
            _scale(child, strength)


def _scale(node: dict[str, Any], strength: float) -> None:
    if isinstance(node, dict) and str(node.get(CLASS)).rsplit(".", 1)[-1] not in WRAPPERS:
        node["p"] = min(1.0, float(node.get("p", 0.5)) * strength)


def _probe(pipeline: Compose, size: tuple[int, int]) -> None:
    """Raise DataError unless images keep their size and type, and masks their labels."""
    from trainables.data.augment import augment

    image, mask = np.full((*size, 3), 100, np.uint8), np.full(size, PROBE_LABEL, np.uint8)
    for draw in range(PROBE_DRAWS):
        new_image, new_mask = augment(pipeline, image.copy(), mask.copy(), (draw,))
        if new_image.shape != image.shape or new_mask.shape != mask.shape or new_image.dtype != np.uint8:
            raise DataError(
                f"{SETTING}: images of {size[0]}x{size[1]} come out as {new_image.shape[0]}x{new_image.shape[1]} "
                f"{new_image.dtype}; resize them with data.size, and leave normalisation to data.normalize"
            )
        invented = sorted({*np.unique(new_mask).tolist()} - {PROBE_LABEL, IGNORE})
        if invented:
            raise DataError(f"{SETTING}: it writes the labels {invented} into masks; set fill_mask to {IGNORE}")
