"""A promoted model on pictures of any size: resized, normalised, predicted, and resized back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.checkpoint import read_checkpoint
from trainables.data.split_data import resize_image
from trainables.inference import Inference, place, resize_logits
from trainables.models.build import build_model
from trainables.settings import TrialSettings


@dataclass(frozen=True)
class Predictor:
    """A model with the size and channels of the pictures it was trained on and the names of its classes."""

    inference: Inference
    size: tuple[int, int] | None
    channels: int
    class_names: tuple[str, ...]

    @classmethod
    def load(cls, best: Path, device: torch.device) -> "Predictor":
        """The model of a best.pt, ready to predict."""
        content = read_checkpoint(best, "settings", "class_names", "model")
        settings = TrialSettings.model_validate_json(content["settings"])
        class_names = tuple(content["class_names"])
        # The first convolution sees the picture: its input channels are the picture's.
        channels = next(tensor.shape[1] for tensor in content["model"].values() if tensor.ndim == 4)
        plain = settings.model.model_copy(update={"weights": None, "unfreeze": "all"})
        net = build_model(plain, channels, len(class_names))
        net.net.load_state_dict(content["model"])
        return cls(place(net.eval(), settings, device), settings.data.size, channels, class_names)

    @torch.no_grad()
    def mask(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label mask uint8 [H, W] of a picture uint8 [H, W, C]; raises ValueError for other channels."""
        if image_HWC.ndim != 3 or image_HWC.shape[2] != self.channels:
            raise ValueError(f"expected a picture of shape [H, W, {self.channels}], got {list(image_HWC.shape)}")
        small_HWC = image_HWC if self.size is None else resize_image(image_HWC, self.size)
        logits = resize_logits(self.inference.logits(small_HWC[None]), image_HWC.shape[:2])
        labels: NDArray[np.uint8] = logits[0].max(dim=0).indices.to(torch.uint8).cpu().numpy()
        return labels
