"""U-Net (Ronneberger et al. 2015) with BatchNorm, padded convolutions and transposed convolutions."""

import torch
from torch import nn


class UNet(nn.Module):
    """U-Net whose sides must be multiples of 2^depth.

    Convolutions before a BatchNorm have no bias; transposed convolutions and the head do. With 3 channels, 37 classes,
    width 64 and depth 4 it has 31,039,973 parameters.
    """

    def __init__(self, channels: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        widths = [width << level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            _double_convolution(before, after) for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.decoder = nn.ModuleList(_Up(widths[level + 1], widths[level]) for level in reversed(range(depth)))
        self.segmentation_head = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K, H, W]."""
        skips = []
        features = images_BCHW
        for level, block in enumerate(self.encoder):
            features = block(self.pool(features) if level else features)
            skips.append(features)
        skips.pop()
        for up in self.decoder:
            features = up(features, skips.pop())
        logits: torch.Tensor = self.segmentation_head(features)
        return logits


class _Up(nn.Module):
    """Doubles the resolution, then merges the encoder's features of that resolution."""

    def __init__(self, channels: int, skip_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, skip_channels, kernel_size=2, stride=2)
        self.merge = _double_convolution(2 * skip_channels, skip_channels)

    def forward(self, features_BCHW: torch.Tensor, skip_BCHW: torch.Tensor) -> torch.Tensor:
        merged: torch.Tensor = self.merge(torch.cat([skip_BCHW, self.up(features_BCHW)], dim=1))
        return merged


def _double_convolution(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
