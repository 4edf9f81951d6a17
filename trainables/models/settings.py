"""Settings of the model."""

from typing import Literal

from pydantic import Field, PositiveInt

from trainables.settings_base import ImportPath, Settings

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

    name: ModelName | ImportPath = Field(
        "unet",
        description="unet, fcn and fcn_unpool by themselves; all others over a timm encoder, as model.encoder says; "
        "package.module:factory for a model of one's own",
    )
    width: PositiveInt = Field(64, description="unet: channels of the first stage, doubled at each stage")
    depth: int = Field(4, ge=1, le=6, description="unet: number of downsamplings")
    convolutions: Literal[2, 3] = Field(2, description="unet: convolutions per block")
    norm: Literal["batch", "instance"] = Field("batch", description="unet: normalisation after each convolution")
    upsampling: Literal["transposed", "nearest", "bilinear"] = Field(
        "transposed", description="unet: transposed convolution, or nearest or bilinear resizing and a convolution"
    )
    bottleneck: Literal["plain", "se", "pyramid", "se_pyramid"] = Field(
        "plain", description="unet: the deepest block plain, with squeeze-and-excitation, pyramid pooling, or both"
    )
    squeeze_excitation: bool = Field(False, description="unet: squeeze-and-excitation after every block")
    skips: Literal["plain", "gate_add", "gate_concat", "attention"] = Field(
        "plain", description="unet: how the encoder's features enter the decoder"
    )
    deep_supervision: bool = Field(
        False,
        description="unet: auxiliary outputs of every decoder stage below full resolution, while training alone "
        "(loss.auxiliary weighs them)",
    )
    initialization: Literal["default", "xavier", "kaiming"] = Field(
        "default", description="initial weights of convolutions that no file gives; default: torch's or the model's own"
    )
    encoder: str = Field("mobilenetv2_100", description="timm name of the encoder, for the models over one")
    weights: str | None = Field(
        None,
        description="a .safetensors, .pt or .bin file with weights of the encoder (timm names) or of the whole model "
        "(a trial's best.pt; for upernet Hugging Face's openmmlab/upernet-convnext-tiny), whose classifiers are drawn "
        "anew for another number of classes; `download` asks timm for its pretrained encoder; absent: random. For grey "
        "images the first convolution is summed over its colours",
    )
    unfreeze: UnfreezeDepth = Field(
        "all", description="what trains: head, decoder, then encoder stages from the deepest, cumulatively, or all"
    )
