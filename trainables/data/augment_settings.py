"""Settings of the augmentation."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from trainables.data.augment_sets import AUGMENT_SETS, CUSTOM
from trainables.settings_base import ImportPath, Settings

if TYPE_CHECKING:
    SetName = str
else:
    SetName = Literal[(*AUGMENT_SETS, CUSTOM)]  # the table is the one place that names the sets


class OversampleSettings(Settings):
    """Images with rare classes, shown more often in training."""

    classes: tuple[str, ...] = Field((), description="names of the classes whose images are repeated")
    times: PositiveInt = Field(1, description="how often such an image comes in an epoch, each time augmented anew")
    leaky: bool = Field(
        False,
        description="repeat such images of the validation split too, in training, as a published report did: its "
        "validation mIoU is worthless, and every table says so; never searched",
    )


class AugmentSettings(Settings):
    """Which named set of transforms is applied to training images, and how often."""

    set: SetName | ImportPath = Field(
        "none",
        description="name of the set; custom: the one in augment.pipeline; package.module:factory for one of one's own",
    )
    strength: float = Field(
        1.0, ge=0, le=2, description="scales every probability of the set, capped at 1; 1 is the published table"
    )
    copies: PositiveInt = Field(1, description="how often each training image comes in an epoch, augmented anew")
    oversample: OversampleSettings = OversampleSettings()
    pipeline: dict[str, Any] | None = Field(
        None,
        description="for set `custom`: a pipeline in albumentations' own serialised form (albumentations.to_dict)",
    )
