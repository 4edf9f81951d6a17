"""UPerNet (Xiao et al. 2018) over any timm encoder, laid out as `openmmlab/upernet-convnext-tiny`."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from trainables.models.timm_features import TimmFeatures

CHANNELS = 512
AUXILIARY_CHANNELS = 256
AUXILIARY_LEVEL = 2
POOL_SCALES = (1, 2, 3, 6)


class UPerNet(nn.Module):
    """Pyramid pooling over the deepest features, a feature pyramid over four levels, and an auxiliary FCN head.

    Over `convnext_tiny` with 37 classes 28,490 parameters train at `head` (both classifiers), 32,334,154 at `decoder`
    and 60,155,626 at `all`.
    """

    def __init__(self, encoder: TimmFeatures, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = _Decoder(encoder.channels)
        self.segmentation_head = nn.Conv2d(CHANNELS, classes, kernel_size=1)
        self.auxiliary_decoder = nn.Sequential(_Convolution(encoder.channels[AUXILIARY_LEVEL], AUXILIARY_CHANNELS, 3))
        self.auxiliary_head = nn.Conv2d(AUXILIARY_CHANNELS, classes, kernel_size=1)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K, H, W], resized from a quarter of the image's size."""
        return self._logits(self.encoder(images_BCHW), images_BCHW)

    def outputs(self, images_BCHW: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logits, then those of the auxiliary head, at its own size."""
        levels = self.encoder(images_BCHW)
        return self._logits(levels, images_BCHW), self.auxiliary_head(self.auxiliary_decoder(levels[AUXILIARY_LEVEL]))

    def _logits(self, levels: Sequence[torch.Tensor], images_BCHW: torch.Tensor) -> torch.Tensor:
        return _resized(self.segmentation_head(self.decoder(levels)), images_BCHW)


class _Decoder(nn.Module):
    """From the features of four levels, the finest first, to CHANNELS at the finest's size; mmsegmentation's names."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(scale), _Convolution(channels[-1], CHANNELS, 1)) for scale in POOL_SCALES
        )
        self.bottleneck = _Convolution(channels[-1] + len(POOL_SCALES) * CHANNELS, CHANNELS, 3)
        self.lateral_convs = nn.ModuleList(_Convolution(before, CHANNELS, 1) for before in channels[:-1])
        self.fpn_convs = nn.ModuleList(_Convolution(CHANNELS, CHANNELS, 3) for _ in channels[:-1])
        self.fpn_bottleneck = _Convolution(len(channels) * CHANNELS, CHANNELS, 3)

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        deepest = levels[-1]
        pooled = [_resized(pool(deepest), deepest) for pool in self.psp_modules]
        laterals = [convolution(level) for convolution, level in zip(self.lateral_convs, levels, strict=False)]
        laterals.append(self.bottleneck(torch.cat([deepest, *pooled], dim=1)))
        for index in range(len(laterals) - 1, 0, -1):
            laterals[index - 1] = laterals[index - 1] + _resized(laterals[index], laterals[index - 1])
        outputs = [convolution(lateral) for convolution, lateral in zip(self.fpn_convs, laterals, strict=False)]
        outputs.append(laterals[-1])
        merged: torch.Tensor = self.fpn_bottleneck(torch.cat([_resized(one, outputs[0]) for one in outputs], dim=1))
        return merged


class _Convolution(nn.Module):
    """Convolution without bias, BatchNorm, ReLU."""

    def __init__(self, channels: int, width: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel_size, padding=kernel_size // 2, bias=False)
        self.batch_norm = nn.BatchNorm2d(width)

    def forward(self, features_BCHW: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.batch_norm(self.conv(features_BCHW))
        return normed.relu()


def _resized(features_BCHW: torch.Tensor, like_BCHW: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(features_BCHW, size=like_BCHW.shape[-2:], mode="bilinear", align_corners=False)
