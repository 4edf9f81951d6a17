"""A forward pass over images as they are stored, the same in training, validation and final evaluation."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from trainables.data.batches import to_tensor
from trainables.device import MEMORY_FORMAT, Precision, autocast, choose_precision
from trainables.models.segmentation_net import SegmentationNet
from trainables.settings import TrialSettings


@dataclass(frozen=True)
class Inference:
    """A model with everything that decides its logits to the last bit.

    `parallel` stands for the model's `outputs` where several ranks train it (see trainables.distributed).
    """

    model: SegmentationNet
    device: torch.device
    precision: Precision
    normalize: Literal["none", "imagenet"]
    parallel: DistributedDataParallel | None = None

    def logits(self, images_BHWC: NDArray[np.uint8]) -> torch.Tensor:
        """Logits [B, K, H, W] of uint8 images, of the precision the model computes in."""
        with autocast(self.device, self.precision):
            logits_BKHW: torch.Tensor = self.model(self._input(images_BHWC))
        return logits_BKHW

    def outputs(self, images_BHWC: NDArray[np.uint8]) -> tuple[torch.Tensor, ...]:
        """The logits, then those of the model's auxiliary outputs, as training sees them."""
        with autocast(self.device, self.precision):
            if self.parallel is None:
                return self.model.outputs(self._input(images_BHWC))
            found: tuple[torch.Tensor, ...] = self.parallel(self._input(images_BHWC))
            return found

    def adding_up(self) -> AbstractContextManager[None]:
        """The context of a forward and backward pass after which others follow before the optimizer's step."""
        return nullcontext() if self.parallel is None else self.parallel.no_sync()

    def _input(self, images_BHWC: NDArray[np.uint8]) -> torch.Tensor:
        return to_tensor(images_BHWC, self.device, self.normalize).contiguous(memory_format=MEMORY_FORMAT)


def place(model: SegmentationNet, settings: TrialSettings, device: torch.device) -> Inference:
    """Move a model to the device, in the memory format and precision that suit it."""
    return Inference(
        model=model.to(device=device, memory_format=MEMORY_FORMAT),  # type: ignore[call-overload]  # torch's stubs lack it
        device=device,
        precision=choose_precision(settings.precision, device),
        normalize=settings.data.normalize,
    )


def resize_logits(logits_BKHW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """fp32 logits, contiguous, resized bilinearly to the mask's own size (height, width)."""
    # Reductions over classes are several times faster with the classes' planes apart.
    logits_BKHW = logits_BKHW.float().contiguous()
    if logits_BKHW.shape[-2:] == size:
        return logits_BKHW
    return functional.interpolate(logits_BKHW, size=size, mode="bilinear", align_corners=False)
