"""Settings of the augmentation."""

from typing import Literal

from pydantic import Field

from trainables.settings_base import Settings


class AugmentSettings(Settings):
    """Which named set of transforms is applied to training images, and how often."""

    set: Literal["none", "flips", "indoor", "terrain", "strong"] = Field("none", description="name of the set")
    strength: float = Field(
        1.0, ge=0, le=2, description="scales every probability of the set, capped at 1; 1 is the published table"
    )
