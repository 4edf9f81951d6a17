"""How the encoder's features enter a U-Net's decoder: as they are, or weighed by a gate.

Two of the published reports gate their skips "by addition" and "by concatenation" without a formula; what stands here
is the common reading, said at each class.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn


class PlainSkip(nn.Module):
    """Skip and decoder features side by side (Ronneberger et al. 2015)."""

    def forward(self, skip_BCHW: torch.Tensor, features_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, 2C, H, W]."""
        return torch.cat([skip_BCHW, features_BCHW], dim=1)


class _Gate(nn.Module):
    """A factor in 0 to 1 for each channel and pixel, from both features by a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2 * channels, channels, kernel_size=1)

    def forward(self, skip_BCHW: torch.Tensor, features_BCHW: torch.Tensor) -> torch.Tensor:
        gate: torch.Tensor = self.gate(torch.cat([skip_BCHW, features_BCHW], dim=1))
        return gate.sigmoid()


class AddedSkip(nn.Module):
    """gate * skip + features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = _Gate(channels)

    def forward(self, skip_BCHW: torch.Tensor, features_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W]."""
        added: torch.Tensor = self.gate(skip_BCHW, features_BCHW) * skip_BCHW + features_BCHW
        return added


class ConcatenatedSkip(nn.Module):
    """gate * skip beside the features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = _Gate(channels)

    def forward(self, skip_BCHW: torch.Tensor, features_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, 2C, H, W]."""
        return torch.cat([self.gate(skip_BCHW, features_BCHW) * skip_BCHW, features_BCHW], dim=1)


class AttentionSkip(nn.Module):
    """An additive attention gate (Oktay et al. 2018, equations 1 and 2), one factor per pixel.

    The gating signal is the upsampled decoder's, so that no further resizing is needed; inner channels are half.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.skip = nn.Conv2d(channels, inner, kernel_size=1, bias=False)
        self.features = nn.Conv2d(channels, inner, kernel_size=1)
        self.attention = nn.Conv2d(inner, 1, kernel_size=1)

    def forward(self, skip_BCHW: torch.Tensor, features_BCHW: torch.Tensor) -> torch.Tensor:
        """[B, 2C, H, W]."""
        attention_B1HW = self.attention((self.skip(skip_BCHW) + self.features(features_BCHW)).relu()).sigmoid()
        return torch.cat([attention_B1HW * skip_BCHW, features_BCHW], dim=1)


@dataclass(frozen=True)
class SkipRow:
    """How a skip is built for a number of channels, and how many times as many it gives."""

    build: Callable[[int], nn.Module]
    factor: int


SKIPS: dict[str, SkipRow] = {
    "plain": SkipRow(lambda channels: PlainSkip(), 2),
    "gate_add": SkipRow(AddedSkip, 1),
    "gate_concat": SkipRow(ConcatenatedSkip, 2),
    "attention": SkipRow(AttentionSkip, 2),
}
