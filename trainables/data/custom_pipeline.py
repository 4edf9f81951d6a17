"""A user's own augmentation, in the serialised form of albumentations."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trainables.data.errors import DataError
from trainables.data.pipeline_probe import FAILURES, SETTING, probe, refused_by_albumentations
from trainables.data.splits import IGNORE

if TYPE_CHECKING:
    from albumentations import Compose

CLASS = "__class_fullname__"
# Pixels that a transform moves in from outside are ignored, and labels are never mixed. An argument whose value is
# None leaves the mask as it is.
MASK_ARGUMENTS = {"fill_mask": IGNORE, "mask_drop_value": IGNORE, "mask_interpolation": 0}


def custom_pipeline(
    declared: dict[str, Any] | None, strength: float, size: tuple[int, int] | None, channels: int = 3
) -> Compose:
    """The declared pipeline with masks kept safe and every probability times `strength`, capped at 1.

    What albumentations.to_dict gives; nothing else than its transforms is instantiated. It is tried on images of `size`
    (height, width) and `channels`, unless the size is unknown. Raises DataError for a pipeline that is missing or
    malformed, that fails, or that changes the images' size or the masks' labels.
    """
    import albumentations

    if declared is None:
        raise DataError(f"{SETTING}: missing; expected what albumentations.to_dict(pipeline) gives, for set custom")
    form = copy.deepcopy(declared)
    root = form.get("transform")
    if not isinstance(root, dict) or _name(root) != "Compose" or "transforms" not in root:
        raise DataError(
            f"{SETTING}: expected a mapping with `transform`, a Compose of transforms (albumentations.to_dict), got "
            f"the keys {', '.join(map(str, form)) or 'none'}"
        )
    for node in _nodes(root):
        _make_safe(node, albumentations)
    _scale(root, strength, albumentations)
    pipeline = _build(form)
    if size is not None:
        for node in _nodes(root):
            # Of OneOrOther the probability is the share of the first.
            if node["p"] > 0 and _name(node) != "OneOrOther":
                node["p"] = 1.0
        probe(pipeline, _build(form), size, channels)
    return pipeline


def _build(form: dict[str, Any]) -> Compose:
    import albumentations

    try:
        with warnings.catch_warnings():
            # albumentations only warns of arguments that a transform does not have.
            warnings.simplefilter("error", UserWarning)
            pipeline: Compose = albumentations.from_dict(form)
    except FAILURES as error:
        raise refused_by_albumentations("cannot build it", error) from error
    return pipeline


def _name(node: Any) -> str | None:
    name = node.get(CLASS) if isinstance(node, dict) else None
    return name.rsplit(".", 1)[-1] if isinstance(name, str) else None


def _children(node: dict[str, Any]) -> list[Any]:
    children = node.get("transforms", [])
    if not isinstance(children, list):
        raise DataError(f"{SETTING}: expected the transforms of {_name(node)} to be a list, got {children!r:.80}")
    return children


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if _name(node) is None:
        raise DataError(f"{SETTING}: expected each transform to be a mapping with {CLASS}, got {node!r:.80}")
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _make_safe(node: dict[str, Any], albumentations: Any) -> None:
    """Give the node the class's own name, a probability, and arguments that keep the mask's labels."""
    name = _name(node)
    kind = getattr(albumentations, str(name), None)
    if not isinstance(kind, type) or not issubclass(kind, albumentations.BasicTransform | albumentations.BaseCompose):
        raise DataError(f"{SETTING}: albumentations has no transform {node[CLASS]!r}")
    # Names of other packages would be imported from wherever they point.
    node[CLASS] = name
    parameters = inspect.signature(kind).parameters
    if "p" in parameters:
        node.setdefault("p", parameters["p"].default)
    p = node.get("p")
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise DataError(f"{SETTING}: {name}: expected p, a probability of 0 to 1, got {p!r:.80}")
    for argument, value in MASK_ARGUMENTS.items():
        if argument in parameters and node.get(argument, parameters[argument].default) is not None:
            node[argument] = value


def _scale(node: dict[str, Any], strength: float, albumentations: Any) -> None:
    """Multiply probabilities below a container; its own says whether its children run at all and stays.

    Below a choice, such as OneOf, they are shares among its transforms, so that the choice itself is scaled.
    """
    for child in _children(node):
        kind = getattr(albumentations, str(_name(child)))
        if issubclass(kind, albumentations.Compose | albumentations.Sequential):
            _scale(child, strength, albumentations)
        elif kind is albumentations.OneOrOther and strength != 1:
            raise DataError(
                f"augment.strength: got {strength:g}, but OneOrOther in {SETTING} applies one of its transforms "
                "always; use OneOf there, or strength 1"
            )
        else:
            child["p"] = min(1.0, child["p"] * strength)
