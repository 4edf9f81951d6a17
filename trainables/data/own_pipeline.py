"""An augmentation that a user's own factory makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainables.custom import load_part, reported
from trainables.data.errors import DataError
from trainables.data.pipeline_probe import probe

if TYPE_CHECKING:
    from albumentations import Compose

    from trainables.data.augment_settings import AugmentSettings

SETTING = "augment.set"


def own_pipeline(settings: AugmentSettings, size: tuple[int, int], channels: int) -> Compose:
    """The Compose that the factory named by augment.set makes, every probability times `strength`, capped at 1.

    It is tried on images of `size` (height, width) and `channels`. Raises PartError, and DataError for a pipeline that
    fails, changes the images' size or the masks' labels, or cannot tell what it consists of.
    """
    pipeline, always = _made(settings, size, channels), _made(settings, size, channels)
    _scale(pipeline, settings.strength)
    _certain(always)
    probe(pipeline, always, size, channels, setting=f"{SETTING}: {settings.set}")
    try:
        pipeline.to_dict()
    except NotImplementedError as error:
        raise DataError(f"{SETTING}: {settings.set} cannot be recorded: {error}") from error
    return pipeline


def check_own_pipeline(settings: AugmentSettings, size: tuple[int, int] | None) -> None:
    """As `own_pipeline`, as far as it goes where the size is not known yet."""
    load_part(settings.set, SETTING, ("settings", "size", "channels"))
    if size is not None:
        with reported(SETTING, f"{settings.set} fails for images of {size[0]} x {size[1]}"):
            own_pipeline(settings, size, 3)


def _made(settings: AugmentSettings, size: tuple[int, int], channels: int) -> Compose:
    import albumentations

    made = load_part(settings.set, SETTING, ("settings", "size", "channels"))(settings, size, channels)
    if not isinstance(made, albumentations.Compose):
        raise DataError(f"{SETTING}: {settings.set} gives {type(made).__name__}, expected an albumentations.Compose")
    return made


def _scale(container: Any, strength: float) -> None:
    """As for pipelines in serialised form: a choice such as OneOf is scaled as one."""
    import albumentations

    for child in container.transforms:
        if isinstance(child, albumentations.Compose | albumentations.Sequential):
            _scale(child, strength)
        elif isinstance(child, albumentations.OneOrOther) and strength != 1:
            raise DataError(
                f"augment.strength: got {strength:g}, but OneOrOther in {SETTING} applies one of its transforms "
                "always; use OneOf there, or strength 1"
            )
        else:
            child.p = min(1.0, child.p * strength)


def _certain(container: Any) -> None:
    """Let everything that can happen happen."""
    import albumentations

    for child in container.transforms:
        if child.p > 0 and not isinstance(child, albumentations.OneOrOther):
            child.p = 1.0
        if isinstance(child, albumentations.BaseCompose):
            _certain(child)
