"""Settings of the model."""

from typing import Literal

from pydantic import Field, PositiveInt

from trainables.settings_base import Settings

ModelName = Literal[
    "unet",
    "upernet",
    "fcn",
    "fcn_unpool",
    "resnet_fcn",
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
    convolutions: Literal[2, 3] = Field(2, description="unet: convolutions per block")
    norm: Literal["batch", "instance"] = Field("batch", description="unet: normalisation after each convolution")
    upsampling: Literal["transposed", "nearest", "bilinear"] = Field(
        "transposed", description="unet: transposed convolution, or nearest or bilinear resizing and a convolution"
    )
    bottleneck: Literal["plain", "se", "pyramid"] = Field(
        "plain", description="unet: the deepest block plain, with squeeze-and-excitation, or with pyramid pooling"
    )
    squeeze_excitation: bool = Field(False, description="unet: squeeze-and-excitation after every block")
    skips: Literal["plain", "gate_add", "gate_concat", "attention"] = Field(
        "plain", description="unet: how the encoder's features enter the decoder"
    )
    deep_supervision: bool = Field(
        False, description="unet: auxiliary outputs at every decoder stage while training (loss.auxiliary weighs them)"
    )
    initialization: Literal["default", "xavier", "kaiming"] = Field(
        "default", description="initial weights of convolutions that no file gives; default: torch's or the model's own"
    )
    encoder: str = Field("mobilenetv2_100", description="timm name of the encoder, for the models over one")
    weights: str | None = Field(
        None,
        description="a .safetensors or .pt file with weights of the encoder (timm names) or of the whole model (such "
        "as a trial's best.pt); `download` asks timm for its pretrained weights; absent: random",
    )
    unfreeze: UnfreezeDepth = Field(
        "all", description="what trains: head, decoder, then encoder stages from the deepest, cumulatively, or all"
    )
