"""A promoted model on pictures of any size: resized, normalised, predicted, and resized back."""

from collections.abc import Sequence
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
from trainables.tiling import Tiling, TilingError, blended_bands

Labels = NDArray[np.uint8]
# Longest side, in pixels, that a model without a size of its own predicts in one pass unless told otherwise.
WHOLE_UP_TO = 1024


class PictureError(ValueError):
    """A picture that a model does not know how to see."""


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
    def mask(self, image_HWC: NDArray[np.uint8], *, flip: bool = False, tiling: Tiling | None = None) -> Labels:
        """Label mask uint8 [H, W] of a picture uint8 [H, W, C]; raises PictureError for other channels.

        With `flip` the logits of the picture and of its mirror image are averaged. A picture with a side above
        tiling.tile is predicted in tiles, each as a picture of its own, whose logits are blended.
        """
        self.check_shape(image_HWC.shape)
        if tiling is None:
            return _labels(self.logits(image_HWC, flip=flip))
        labels_HW = np.empty(image_HWC.shape[:2], dtype=np.uint8)
        for top, logits_KHW in blended_bands(lambda tile_HWC: self.logits(tile_HWC, flip=flip), image_HWC, tiling):
            labels_HW[top : top + logits_KHW.shape[1]] = _labels(logits_KHW)
        return labels_HW

    @torch.no_grad()
    def logits(self, image_HWC: NDArray[np.uint8], *, flip: bool = False) -> torch.Tensor:
        """fp32 logits [K, H, W] of a picture at its own size."""
        small_HWC = image_HWC if self.size is None else resize_image(image_HWC, self.size)
        logits_BKHW = self.inference.logits(np.ascontiguousarray(small_HWC)[None])
        if flip:
            mirrored_BKHW = self.inference.logits(np.ascontiguousarray(small_HWC[:, ::-1])[None])
            logits_BKHW = (logits_BKHW.float() + mirrored_BKHW.float().flip(-1)) / 2
        return resize_logits(logits_BKHW, image_HWC.shape[:2])[0]

    def tiling(self, tile: int | None = None, overlap: int | None = None) -> Tiling | None:
        """Tiles of this size for this model; None: every picture whole, as a model that resizes has seen them.

        A model trained at its pictures' own size takes tiles of 1024 pixels if nothing is asked. The overlap is a
        quarter of a tile if absent. Raises TilingError.
        """
        if tile is None and self.size is not None:
            if overlap is not None:
                raise TilingError("--overlap: this model resizes pictures and takes no tiles; give --tile too")
            return None
        tile = WHOLE_UP_TO if tile is None else tile
        stride = self.inference.model.stride if self.size is None else 1
        return Tiling(tile, tile // 4 if overlap is None else overlap, stride)

    def check_shape(self, shape_HWC: Sequence[int]) -> None:
        """Raise PictureError for a picture that has other channels than the model knows."""
        if len(shape_HWC) != 3 or shape_HWC[2] != self.channels:
            raise PictureError(f"expected a picture of shape [H, W, {self.channels}], got {list(shape_HWC)}")


def _labels(logits_KHW: torch.Tensor) -> Labels:
    labels: Labels = logits_KHW.max(dim=0).indices.to(torch.uint8).cpu().numpy()
    return labels
