"""U-Net (Ronneberger et al. 2015) with norms and padded convolutions, and the variants of the published reports."""

import torch
from torch import nn

from trainables.models.settings import ModelSettings
from trainables.models.skips import SKIPS
from trainables.models.unet_blocks import PyramidPooling, convolution_block, upsampling


class UNet(nn.Module):
    """U-Net whose sides must be multiples of 2^depth.

    Convolutions before a norm have no bias; upsampling and heads do. With 3 channels, 37 classes and otherwise default
    settings (width 64, depth 4) it has 31,039,973 parameters.

    The Mars reports describe their variants in a sentence each. Read here as: squeeze-and-excitation stands after a
    block's convolutions (the bottleneck's, "replaced" in one report, keeps them), pyramid pooling after the deepest
    block, gates as in `skips`, deep supervision by a 1x1 classifier on each inner decoder stage. Table 4 of the VOC
    report prints a stride of 2 for every 3x3 convolution beside four poolings, which no image survives: here it is 1.
    """

    def __init__(self, channels: int, classes: int, settings: ModelSettings) -> None:
        super().__init__()
        depth, widths = settings.depth, [settings.width << level for level in range(settings.depth + 1)]
        self.encoder = nn.ModuleList(
            convolution_block(
                before,
                after,
                settings.convolutions,
                settings.norm,
                settings.squeeze_excitation or (settings.bottleneck in ("se", "se_pyramid") and level == depth),
            )
            for level, (before, after) in enumerate(zip([channels, *widths], widths, strict=False))
        )
        if settings.bottleneck in ("pyramid", "se_pyramid"):
            self.encoder[depth].append(PyramidPooling(widths[-1], settings.norm))  # type: ignore[operator]  # a Sequential
        self.pool = nn.MaxPool2d(2)
        self.decoder = nn.ModuleList(
            _Up(widths[level + 1], widths[level], settings) for level in reversed(range(depth))
        )
        self.segmentation_head = nn.Conv2d(settings.width, classes, kernel_size=1)
        if settings.deep_supervision:
            inner = reversed(widths[1:depth])
            self.auxiliary_head = nn.ModuleList(nn.Conv2d(width, classes, kernel_size=1) for width in inner)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K, H, W]."""
        return self._logits(self._decoded(images_BCHW))

    def outputs(self, images_BCHW: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logits, then, with deep supervision, those of each decoder stage below full resolution, the coarsest
        first and each at its own size (Lee et al. 2015).
        """
        stages = self._decoded(images_BCHW)
        heads = getattr(self, "auxiliary_head", ())
        return (self._logits(stages), *(head(stage) for head, stage in zip(heads, stages, strict=False)))

    def _decoded(self, images_BCHW: torch.Tensor) -> list[torch.Tensor]:
        """The features of each decoder stage, the coarsest first."""
        skips = []
        features = images_BCHW
        for level, block in enumerate(self.encoder):
            features = block(self.pool(features) if level else features)
            skips.append(features)
        skips.pop()
        stages = []
        for up in self.decoder:
            features = up(features, skips.pop())
            stages.append(features)
        return stages

    def _logits(self, stages: list[torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = self.segmentation_head(stages[-1])
        return logits


class _Up(nn.Module):
    """Doubles the resolution, then merges the encoder's features of that resolution."""

    def __init__(self, channels: int, skip_channels: int, settings: ModelSettings) -> None:
        super().__init__()
        row = SKIPS[settings.skips]
        self.up = upsampling(settings.upsampling, channels, skip_channels)
        self.skip = row.build(skip_channels)
        self.merge = convolution_block(
            row.factor * skip_channels,
            skip_channels,
            settings.convolutions,
            settings.norm,
            settings.squeeze_excitation,
        )

    def forward(self, features_BCHW: torch.Tensor, skip_BCHW: torch.Tensor) -> torch.Tensor:
        merged: torch.Tensor = self.merge(self.skip(skip_BCHW, self.up(features_BCHW)))
        return merged
