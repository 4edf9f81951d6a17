"""Blocks of the U-Net: convolutions, squeeze-and-excitation, pyramid pooling, upsampling."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}

POOL_SCALES = (1, 2, 3, 6)  # of Zhao et al. 2017
SQUEEZE = 16  # reduction of Hu et al. 2018
FEWEST_SQUEEZED = 4


def convolution_block(
    channels: int, width: int, convolutions: int, norm: str, squeeze_excitation: bool = False
) -> nn.Sequential:
    """3x3 convolutions without bias, each with its norm and ReLU, then squeeze-and-excitation if asked for."""
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [
            nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
            NORMS[norm](width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    if squeeze_excitation:
        layers.append(SqueezeExcitation(width))
    return nn.Sequential(*layers)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a factor in 0 to 1 from the means of all channels (Hu et al. 2018).

    The squeezed width is a sixteenth of the channels and at least 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(FEWEST_SQUEEZED, channels // SQUEEZE)
        self.squeeze = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.excite = nn.Conv2d(squeezed, channels, kernel_size=1)

    def forward(self, features_BCHW: torch.Tensor) -> torch.Tensor:
        """Scaled features of the same shape."""
        means_BC11 = features_BCHW.mean((2, 3), keepdim=True)
        factors_BC11: torch.Tensor = self.excite(self.squeeze(means_BC11).relu()).sigmoid()
        return features_BCHW * factors_BC11


class PyramidPooling(nn.Module):
    """Means over 1, 4, 9 and 36 regions beside the features, merged by a 3x3 convolution (Zhao et al. 2017).

    The pooled branches have a bias and no norm: one image alone has one value per channel at scale 1, over which no
    norm is defined in training.
    """

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        branch = max(1, channels // len(POOL_SCALES))
        self.branches = nn.ModuleList(nn.Conv2d(channels, branch, kernel_size=1) for _ in POOL_SCALES)
        self.merge = convolution_block(channels + len(POOL_SCALES) * branch, channels, 1, norm)

    def forward(self, features_BCHW: torch.Tensor) -> torch.Tensor:
        """Features of the same shape."""
        size = features_BCHW.shape[-2:]
        pooled = [
            functional.interpolate(
                branch(functional.adaptive_avg_pool2d(features_BCHW, scale)).relu(), size=size, mode="bilinear"
            )
            for scale, branch in zip(POOL_SCALES, self.branches, strict=True)
        ]
        merged: torch.Tensor = self.merge(torch.cat([features_BCHW, *pooled], dim=1))
        return merged


def upsampling(kind: str, channels: int, width: int) -> nn.Module:
    """Doubles the resolution: a transposed 2x2 convolution, or resizing (`nearest`, `bilinear`) and a 3x3 one."""
    if kind == "transposed":
        return nn.ConvTranspose2d(channels, width, kernel_size=2, stride=2)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode=kind), nn.Conv2d(channels, width, kernel_size=3, padding=1))
