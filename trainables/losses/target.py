"""What the terms of a loss share about the masks of a batch, computed once."""

from collections.abc import Collection
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.splits import IGNORE
from trainables.losses.distances import signed_distances


class Target:
    """Masks uint8 [B, H, W] with IGNORE, of a number of classes.

    `labels_BHW` are the same masks in the host's memory, where the caller still has them: what is computed there
    (distances, the classes present) then waits for no device.
    """

    def __init__(self, masks_BHW: torch.Tensor, classes: int, labels_BHW: NDArray[np.uint8] | None = None) -> None:
        self.masks_BHW = masks_BHW
        self.classes = classes
        self._given_BHW = labels_BHW
        self._parts: dict[tuple[int, ...], Target] = {}

    @cached_property
    def labels_BHW(self) -> NDArray[np.uint8]:
        """The masks in the host's memory."""
        return self.masks_BHW.cpu().numpy() if self._given_BHW is None else self._given_BHW

    @cached_property
    def valid_BHW(self) -> torch.Tensor:
        """1 where a pixel counts, else 0."""
        return (self.masks_BHW != IGNORE).float()

    @cached_property
    def pixels_K(self) -> torch.Tensor:
        """Number of valid pixels of each class."""
        return torch.bincount(self.masks_BHW.flatten(), minlength=self.classes)[: self.classes].float()

    @cached_property
    def present(self) -> tuple[int, ...]:
        """Classes with a valid pixel."""
        return tuple(label for label in np.unique(self.labels_BHW).tolist() if label < self.classes)

    @cached_property
    def distances_BKHW(self) -> torch.Tensor:
        """Signed distances to the outline of each class in each image, see `signed_distances`."""
        maps_BKHW = np.stack([signed_distances(labels_HW, self.classes) for labels_HW in self.labels_BHW])
        return torch.from_numpy(maps_BKHW).to(self.masks_BHW.device)

    def without(self, labels: Collection[int]) -> "Target":
        """The same masks with the pixels of some classes ignored."""
        key = tuple(labels)
        if key not in self._parts:
            masks_BHW, labels_BHW = self.masks_BHW.clone(), np.array(self.labels_BHW)
            for label in key:
                masks_BHW.masked_fill_(self.masks_BHW == label, IGNORE)
                labels_BHW[self.labels_BHW == label] = IGNORE
            self._parts[key] = Target(masks_BHW, self.classes, labels_BHW)
        return self._parts[key]
