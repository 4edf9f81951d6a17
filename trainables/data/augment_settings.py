"""Settings of the augmentation."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainables.data.augment_sets import AUGMENT_SETS
from trainables.settings_base import Settings

if TYPE_CHECKING:
    SetName = str
else:
    SetName = Literal[tuple(AUGMENT_SETS)]  # the table is the one place that names the sets


class AugmentSettings(Settings):
    """Which named set of transforms is applied to training images, and how often."""

    set: SetName = Field("none", description="name of the set")
    strength: float = Field(
        1.0, ge=0, le=2, description="scales every probability of the set, capped at 1; 1 is the published table"
    )
