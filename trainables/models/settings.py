"""Settings of the model."""

from typing import Literal

from pydantic import Field, PositiveInt

from trainables.settings_base import Settings

ModelName = Literal[
    "unet",
    "smp_unet",
    "unet++",
    "fpn",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "linknet",
    "manet",
    "pan",
    "segformer",
]
UnfreezeDepth = Literal["head", "decoder", "stage4", "stage3", "stage2", "stage1", "all"]


class ModelSettings(Settings):
    """Which model, from which weights, and how deep it is unfrozen."""

    name: ModelName = Field("unet", description="unet (written here) or a decoder of smp over a timm encoder")
    width: PositiveInt = Field(64, description="unet: channels of the first stage, doubled at each stage")
    depth: int = Field(4, ge=1, le=6, description="unet: number of downsamplings")
    encoder: str = Field("mobilenetv2_100", description="timm name of the encoder; used by every model but unet")
    weights: str | None = Field(
        None,
        description="a .safetensors or .pt file with weights of the encoder (timm names) or of the whole model (such "
        "as a trial's best.pt); `download` asks timm for its pretrained weights; absent: random",
    )
    unfreeze: UnfreezeDepth = Field(
        "all", description="what trains: head, decoder, then encoder stages from the deepest, cumulatively, or all"
    )
