"""A timm network as an encoder that gives its feature levels."""

from typing import Any

import torch
from torch import nn

LEVELS = 4


class TimmFeatures(nn.Module):
    """The last four feature levels of a timm network, the finest first.

    Networks that normalise by LayerNorm alone leave their levels unnormalised: each gets one of its own, as
    mmsegmentation gives them (`norms`). Raises ValueError or RuntimeError for a network without such levels.
    """

    def __init__(self, name: str, channels: int, pretrained: bool) -> None:
        super().__init__()
        # timm brings torchvision and takes seconds to import; only models over one of its encoders need it.
        import timm
        from timm.layers import LayerNorm2d

        self.model: Any = timm.create_model(name, features_only=True, in_chans=channels, pretrained=pretrained)
        info = self.model.feature_info
        self.channels: list[int] = info.channels()[-LEVELS:]
        self.reductions: list[int] = info.reduction()[-LEVELS:]
        if len(self.channels) < LEVELS or self.reductions != sorted(set(self.reductions)):
            raise ValueError(f"its feature levels have strides {info.reduction()}, expected four that grow")
        kinds = {type(module) for module in self.model.modules()}
        layer_norm_alone = any(issubclass(kind, nn.LayerNorm) for kind in kinds) and nn.BatchNorm2d not in kinds
        self.norms = nn.ModuleList(
            LayerNorm2d(width, eps=1e-6) if layer_norm_alone else nn.Identity() for width in self.channels
        )

    def forward(self, images_BCHW: torch.Tensor) -> list[torch.Tensor]:
        """Features [B, C, H / stride, W / stride] of the four levels."""
        levels = self.model(images_BCHW)[-LEVELS:]
        # Swin and its kin put channels last.
        if getattr(self.model, "output_fmt", "NCHW") == "NHWC":
            levels = [level.permute(0, 3, 1, 2).contiguous() for level in levels]
        return [norm(level) for norm, level in zip(self.norms, levels, strict=True)]
