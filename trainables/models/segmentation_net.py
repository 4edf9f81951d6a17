"""A segmentation model as the training sees it: images of any size, some parts frozen."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from trainables.models.parts import parts_of, trained_parts


class SegmentationNet(nn.Module):
    """Wraps a net with `encoder`, `decoder` and `segmentation_head`.

    Sides that are no multiple of the stride (or below `min_side`) are padded at the bottom and right by repeating the
    border, and the logits cropped. Frozen parts stay in eval mode whatever `train` says: their BatchNorm statistics
    do not move and their dropout is off.
    """

    def __init__(self, net: nn.Module, features: Sequence[str], stride: int, min_side: int = 1) -> None:
        super().__init__()
        self.net = net
        self.parts = parts_of(net, features)
        self.unfrozen = trained_parts(self.parts, "all")
        self.smallest_batch = 1  # images that training needs at once
        self.stride = stride
        self.min_side = min_side

    @property
    def trains_batch_norm(self) -> bool:
        """Whether a BatchNorm normalises by the batch it sees in training."""
        return any(
            isinstance(module, nn.modules.batchnorm._BatchNorm) and self.parts[name] in self.unfrozen
            for name, module in self.net.named_modules()
        )

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K, H, W] of images of the same H and W."""
        height, width = images_BCHW.shape[-2:]
        logits_BKHW: torch.Tensor = self.net(self._padded(images_BCHW))
        return logits_BKHW[..., :height, :width]

    def outputs(self, images_BCHW: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logits, then those of auxiliary outputs, resized bilinearly: each [B, K, H, W]."""
        if not hasattr(self.net, "outputs"):
            return (self(images_BCHW),)
        height, width = images_BCHW.shape[-2:]
        padded_BCHW = self._padded(images_BCHW)
        found: tuple[torch.Tensor, ...] = self.net.outputs(padded_BCHW)  # type: ignore[operator]  # a method
        size = padded_BCHW.shape[-2:]
        whole = (one if one.shape[-2:] == size else functional.interpolate(one, size, mode="bilinear") for one in found)
        return tuple(one[..., :height, :width] for one in whole)

    def unfreeze(self, depth: str) -> None:
        """Let the parts of an unfreeze depth train and freeze all others; raises ModelError for a missing depth."""
        self.unfrozen = trained_parts(self.parts, depth)
        for name, module in self.net.named_modules():
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(self.parts[name] in self.unfrozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> "SegmentationNet":
        """Training mode for the parts that train, eval mode for all others."""
        super().train(mode)
        for name, module in self.net.named_modules():
            module.training = mode and self.parts[name] in self.unfrozen
        return self

    def _padded(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        height, width = images_BCHW.shape[-2:]
        below, right = self._missing(height), self._missing(width)
        if below or right:
            return functional.pad(images_BCHW, (0, right, 0, below), mode="replicate")
        return images_BCHW

    def _missing(self, side: int) -> int:
        return -(-max(side, self.min_side) // self.stride) * self.stride - side
