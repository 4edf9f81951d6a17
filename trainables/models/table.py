"""Models by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from trainables.custom import is_own, load_part
from trainables.models.errors import ModelError
from trainables.models.fcn import FCN, FCNUnpool, ResNetFCN
from trainables.models.segmentation_net import SegmentationNet
from trainables.models.settings import ModelSettings
from trainables.models.timm_features import TimmFeatures
from trainables.models.unet import UNet
from trainables.models.upernet import UPerNet

DOWNLOAD = "download"


@dataclass(frozen=True)
class ModelRow:
    """How a model is built from settings, image channels and classes, and what it asks for."""

    build: Callable[[ModelSettings, int, int], SegmentationNet]
    smallest_batch: int = 1
    over_timm: bool = True


def _unet(settings: ModelSettings, channels: int, classes: int) -> SegmentationNet:
    net = UNet(channels, classes, settings)
    levels = [f"encoder.{level}" for level in range(settings.depth + 1)]
    stride = 2**settings.depth
    # InstanceNorm is not defined over one pixel.
    return SegmentationNet(net, levels, stride, min_side=2 * stride if settings.norm == "instance" else 1)


def _upernet(settings: ModelSettings, channels: int, classes: int) -> SegmentationNet:
    encoder = _timm_features(settings, channels)
    net = UPerNet(encoder, classes)
    return SegmentationNet(net, _feature_modules(net), stride=encoder.reductions[-1])


def _fcn(settings: ModelSettings, channels: int, classes: int) -> SegmentationNet:
    # Two of the deepest pixels at least: BatchNorm over one value of one image is not defined.
    return SegmentationNet(FCN(channels, classes), [f"encoder.{level}" for level in range(5)], stride=32, min_side=64)


def _fcn_unpool(settings: ModelSettings, channels: int, classes: int) -> SegmentationNet:
    return SegmentationNet(FCNUnpool(channels, classes), [f"encoder.{level}" for level in range(6)], stride=64)


def _resnet_fcn(settings: ModelSettings, channels: int, classes: int) -> SegmentationNet:
    encoder = _timm_features(settings, channels)
    if encoder.reductions[-1] != 32:
        raise ModelError(
            f"model.encoder: resnet_fcn doubles five times and needs features of stride 32, {settings.encoder} ends at "
            f"{encoder.reductions[-1]}; choose another, such as resnet34"
        )
    net = ResNetFCN(encoder, encoder.channels[-1], classes)
    return SegmentationNet(net, _feature_modules(net), stride=32, min_side=64)


def _timm_features(settings: ModelSettings, channels: int) -> TimmFeatures:
    try:
        return TimmFeatures(settings.encoder, channels, pretrained=settings.weights == DOWNLOAD)
    # timm refuses a network without feature levels in any of these ways.
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise _does_not_fit(settings, error) from error


def _does_not_fit(settings: ModelSettings, error: Exception) -> ModelError:
    return ModelError(
        f"model.encoder: {settings.name} cannot be built over timm's {settings.encoder}"
        f"{f' ({error})' if str(error) else ''}; choose another encoder or model.name"
    )


def _over_timm(decoder: str, smallest_batch: int = 1, min_side: int = 1, **arguments: object) -> ModelRow:
    """A decoder of segmentation_models.pytorch, by its class's name, with its own defaults over a timm encoder."""

    def build(settings: ModelSettings, channels: int, classes: int) -> SegmentationNet:
        # It imports timm, which brings torchvision and takes seconds; other models do without.
        import segmentation_models_pytorch as smp

        try:
            net = getattr(smp, decoder)(
                encoder_name=f"tu-{settings.encoder}",
                encoder_weights=True if settings.weights == DOWNLOAD else None,
                in_channels=channels,
                classes=classes,
                **arguments,
            )
        # smp and timm refuse an encoder in any of these ways.
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise _does_not_fit(settings, error) from error
        _drop_unused_blocks(net.encoder.model)
        return SegmentationNet(net, _feature_modules(net), stride=net.encoder.output_stride, min_side=min_side)

    return ModelRow(build, smallest_batch)


# smallest_batch: BatchNorm after pooling to one pixel needs two images.
# min_side: PAN's attention halves the features at stride 16 three times more.
MODELS: Mapping[str, ModelRow] = {
    "unet": ModelRow(_unet, over_timm=False),
    "upernet": ModelRow(_upernet, smallest_batch=2),
    "fcn": ModelRow(_fcn, over_timm=False),
    "fcn_unpool": ModelRow(_fcn_unpool, over_timm=False),
    "resnet_fcn": ModelRow(_resnet_fcn),
    "smp_unet": _over_timm("Unet"),
    "unet++": _over_timm("UnetPlusPlus"),
    "fpn": _over_timm("FPN"),
    "pspnet": _over_timm("PSPNet"),
    "deeplabv3": _over_timm("DeepLabV3", smallest_batch=2),
    "deeplabv3plus": _over_timm("DeepLabV3Plus", smallest_batch=2),
    "linknet": _over_timm("Linknet"),
    "manet": _over_timm("MAnet"),
    "pan": _over_timm("PAN", smallest_batch=2, min_side=128),
    "segformer": _over_timm("Segformer"),
}


def row_of(name: str) -> ModelRow:
    """The row of a model's name, or of a factory's import path."""
    return ModelRow(_own, over_timm=False) if is_own(name) else MODELS[name]


def _own(settings: ModelSettings, channels: int, classes: int) -> SegmentationNet:
    """What a user's factory gives: a plain module, of which all trains and whose inputs are not padded, or a
    SegmentationNet, which says more.
    """
    net = load_part(settings.name, "model.name", ("settings", "channels", "classes"))(settings, channels, classes)
    if isinstance(net, SegmentationNet):
        return net
    if not isinstance(net, nn.Module):
        raise ModelError(f"model.name: {settings.name} gives {type(net).__name__}, expected a torch.nn.Module")
    return SegmentationNet(net, (), stride=1)


def build_net(settings: ModelSettings, channels: int, classes: int) -> SegmentationNet:
    """The model with random weights (or timm's, where they are to be downloaded), nothing frozen.

    Raises ModelError if the encoder does not fit.
    """
    return row_of(settings.name).build(settings, channels, classes)


def _drop_unused_blocks(encoder: Any) -> None:
    """Cut what lies behind the last level that a shallow decoder asks for: timm's EfficientNets would compute it."""
    holder, _, number = encoder.feature_info.module_name()[-1].rpartition(".")
    blocks = getattr(encoder, holder, None) if holder else None
    if isinstance(blocks, nn.Sequential):
        setattr(encoder, holder, blocks[: int(number) + 1])


def _feature_modules(net: Any) -> list[str]:
    """Names, in the net, of the modules that give the feature levels of its timm encoder.

    timm flattens some encoders (`stages.0` becomes `stages_0`) and wraps others in one more `model`.
    """
    names = {name for name, _ in net.named_modules()}
    found = []
    for level in net.encoder.model.feature_info.module_name():
        candidates = (level, level.replace(".", "_"), f"model.{level}")
        present = (f"encoder.model.{name}" for name in candidates if f"encoder.model.{name}" in names)
        found.append(next(present, f"encoder.model.{level}"))
    return found
