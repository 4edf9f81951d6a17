"""Build, seed, apply and serialise the augmentation of training images."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from trainables.custom import PartError, is_own
from trainables.data.augment_sets import AUGMENT_SETS, CUSTOM
from trainables.data.custom_pipeline import custom_pipeline
from trainables.data.errors import DataError
from trainables.data.own_pipeline import check_own_pipeline, own_pipeline

if TYPE_CHECKING:
    from albumentations import Compose

    from trainables.data.augment_settings import AugmentSettings


def build_pipeline(settings: AugmentSettings, size: tuple[int, int], channels: int = 3) -> Compose:
    """The pipeline of the named set for images of `size` (height, width) and `channels`; apply it with `augment`.

    `strength` multiplies every probability, capped at 1. Masks are moved by nearest neighbour. Raises DataError for a
    custom pipeline that cannot be used.
    """
    # albumentations asks the network for a newer version when it is imported; a search must not.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    if settings.set == CUSTOM:
        return custom_pipeline(settings.pipeline, settings.strength, size, channels)
    if is_own(settings.set):
        return own_pipeline(settings, size, channels)
    rows = AUGMENT_SETS[settings.set](size)
    return albumentations.Compose(
        [
            getattr(albumentations, row.transform)(p=min(1.0, row.probability * settings.strength), **row.arguments)
            for row in rows
        ]
    )


def augment_findings(settings: AugmentSettings, size: tuple[int, int] | None) -> Iterator[str]:
    """What is wrong with a pipeline of the user's own; the size may not be known yet."""
    if settings.set == CUSTOM:
        try:
            custom_pipeline(settings.pipeline, settings.strength, size)
        except DataError as error:
            yield str(error)
    elif is_own(settings.set):
        try:
            check_own_pipeline(settings, size)
        except (DataError, PartError) as error:
            yield str(error)


def augment(
    pipeline: Compose, image_HWC: np.ndarray, mask_HW: np.ndarray, seed: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """One image uint8 [H, W, C] and its mask uint8 [H, W], transformed as a function of the seed alone."""
    # One pair of generators for all transforms: the pipeline's own `set_random_seed` starts every transform from the
    # same state, so that a horizontal and a vertical flip of equal probability would always happen together.
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(repr(seed)))
    result = pipeline(image=image_HWC, mask=mask_HW)
    return result["image"], result["mask"]


def serialise(pipeline: Compose) -> str:
    """The pipeline as JSON with sorted keys: what was really applied, with every argument."""
    return json.dumps(pipeline.to_dict(), sort_keys=True, allow_nan=False)
