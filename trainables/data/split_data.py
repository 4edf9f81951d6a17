"""One split, decoded and resized once: written to a folder, then opened memory-mapped."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from trainables.data.cache import require_disk
from trainables.data.checks import Size, read_headers, read_pair
from trainables.data.errors import DataError, raise_findings
from trainables.data.formats.protocol import Dataset
from trainables.data.splits import IGNORE, Sample

# Part of the cache's key: change it with the code of `resize_image` or `resize_mask`.
RESIZE_RULE = "images by area when shrinking, else bilinear; masks by exact nearest; 1"
# Part of the cache's key: raise it when other files or other contents are written, so that old folders are not read.
STORED = 3


@dataclass(frozen=True)
class Layout:
    """How samples are stored: everything beside their bytes that the stored arrays depend on."""

    size: Size | None
    eval_size: Size | None
    classes: int
    ignored: frozenset[int]


@dataclass(frozen=True)
class SplitData:
    """One split; arrays are read-only memory maps, ignored pixels of masks are 255."""

    names: tuple[str, ...]
    groups: tuple[str, ...]
    class_names: tuple[str, ...]
    fingerprint: str  # of the split as it is on disk, also where `images` are a part of it or cleaned
    images_NHWC: np.ndarray
    masks_NHW: np.ndarray
    pixels_NK: np.ndarray  # int64: valid pixels of each class in each mask at its own size
    own_shapes_N2: np.ndarray
    own_pixels: np.ndarray | None  # the masks at their own sizes, one after the other; None: masks_NHW are at their own
    key: str = (
        "in memory"  # name of the cache's folder: what the arrays hold, which for derived data the fingerprint is not
    )

    @property
    def presence_NK(self) -> np.ndarray:
        """Bool: class k has a valid pixel in the own mask of image n."""
        return self.pixels_NK > 0

    @property
    def pixels_K(self) -> np.ndarray:
        """int64: valid pixels of each class, in the masks at their own size."""
        return np.asarray(self.pixels_NK.sum(axis=0))

    @property
    def images_K(self) -> np.ndarray:
        """int64: images that contain each class."""
        return np.asarray(self.presence_NK.sum(axis=0))

    def own_mask(self, index: int) -> np.ndarray:
        """uint8 [H0, W0], the mask at its own size, or at `data.eval_size` for validation."""
        if self.own_pixels is None:
            return np.array(self.masks_NHW[index])
        areas = self.own_shapes_N2.prod(axis=1)
        start = int(areas[:index].sum())
        return np.array(self.own_pixels[start : start + int(areas[index])]).reshape(self.own_shapes_N2[index])


def only(data: SplitData, indices: Sequence[int]) -> SplitData:
    """These images of a split, in this order, in memory."""
    chosen = list(indices)
    own = None if data.own_pixels is None else np.concatenate([data.own_mask(index).ravel() for index in chosen])
    return replace(
        data,
        names=tuple(data.names[index] for index in chosen),
        groups=tuple(data.groups[index] for index in chosen),
        images_NHWC=data.images_NHWC[chosen],
        masks_NHW=data.masks_NHW[chosen],
        pixels_NK=data.pixels_NK[chosen],
        own_shapes_N2=data.own_shapes_N2[chosen],
        own_pixels=own,
    )


def resize_image(image_HWC: np.ndarray, size: Size) -> np.ndarray:
    """The image at `size`, by area when it shrinks, else bilinear."""
    if image_HWC.shape[:2] == size:
        return image_HWC
    shrinks = size[0] * size[1] < image_HWC.shape[0] * image_HWC.shape[1]
    resized = cv2.resize(image_HWC, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized).reshape(*size, image_HWC.shape[2])


def resize_mask(mask_HW: np.ndarray, size: Size) -> np.ndarray:
    """The mask at `size` by the nearest pixel centre: labels are never mixed."""
    if mask_HW.shape == size:
        return mask_HW
    return np.asarray(cv2.resize(mask_HW, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))


class SplitWriter:
    """Writes a split into an existing folder, one sample at a time; use it in a `with` block, then call `finish`."""

    def __init__(self, folder: Path, size: Size, channels: int, classes: int, keep_own: bool) -> None:
        self.folder = folder
        self.size = size
        self.channels = channels
        self.classes = classes
        self.keep_own = keep_own  # whether masks at their own sizes differ from those at `size`
        self._own_shapes: list[Size] = []
        self._pixels_NK: list[np.ndarray] = []
        self._files = ExitStack()

    def __enter__(self) -> Self:
        self._images, self._masks, self._own = (
            self._files.enter_context((self.folder / name).open("wb"))
            for name in ("images.bin", "masks.bin", "own.bin")
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def add(self, image_HWC: np.ndarray, mask_HW: np.ndarray, own_mask_HW: np.ndarray) -> None:
        """One sample at `size`, and its mask at its own size."""
        pixels_K = np.bincount(own_mask_HW[own_mask_HW != IGNORE], minlength=self.classes)
        self._pixels_NK.append(pixels_K.astype(np.int64))
        self._own_shapes.append((own_mask_HW.shape[0], own_mask_HW.shape[1]))
        self._images.write(np.ascontiguousarray(image_HWC).tobytes())
        self._masks.write(np.ascontiguousarray(mask_HW).tobytes())
        if self.keep_own:
            self._own.write(np.ascontiguousarray(own_mask_HW).tobytes())

    def finish(self, names: Sequence[str], groups: Sequence[str]) -> None:
        """Write what tells how to read the arrays; DataError if every pixel is ignored."""
        pixels_NK = np.array(self._pixels_NK, dtype=np.int64).reshape(len(names), self.classes)
        if not pixels_NK.any():
            raise DataError("every pixel of every mask is ignored: check data.ignore_index and the masks")
        pixels_NK.tofile(self.folder / "pixels.bin")
        meta = {
            "names": list(names),
            "groups": list(groups),
            "size": self.size,
            "channels": self.channels,
            "classes": self.classes,
            "own_shapes": self._own_shapes,
            "keep_own": self.keep_own,
        }
        (self.folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def write_split(dataset: Dataset, samples: Sequence[Sample], layout: Layout, folder: Path, where: str) -> None:
    """Check, decode and resize all pairs and write them into an existing folder.

    Raises one DataError with all findings of all pairs.
    """
    headers = read_headers(dataset, samples, layout.size)
    findings = list(headers.findings)
    size = layout.size or (headers.sizes[0] if headers.sizes else (0, 0))
    own_shapes = [layout.eval_size] * len(samples) if layout.eval_size else list(headers.sizes)
    keep_own = any(shape != size for shape in own_shapes)
    own_bytes = sum(height * width for height, width in own_shapes) if keep_own else 0
    require_disk(folder.parent, len(samples) * size[0] * size[1] * (headers.channels + 1) + own_bytes)
    with SplitWriter(folder, size, headers.channels, layout.classes, keep_own) as writer:
        for sample in samples:
            pair, flaws = read_pair(dataset, sample, layout.classes, layout.ignored)
            findings += [flaw for flaw in flaws if flaw not in findings]
            # After a finding nothing is kept, but the other pairs are still checked.
            if findings or pair is None:
                continue
            image, mask = pair
            if image.shape[2] < headers.channels:
                image = np.repeat(image, headers.channels, axis=2)
            own_mask = resize_mask(mask, layout.eval_size) if layout.eval_size else mask
            writer.add(resize_image(image, size), resize_mask(mask, size), own_mask)
    raise_findings(findings, where)
    try:
        writer.finish([sample.name for sample in samples], [sample.group for sample in samples])
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def open_split(folder: Path, class_names: tuple[str, ...], fingerprint: str) -> SplitData:
    """Map what a SplitWriter wrote."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    count, size = len(meta["names"]), tuple(meta["size"])
    return SplitData(
        names=tuple(meta["names"]),
        groups=tuple(meta["groups"]),
        class_names=class_names,
        fingerprint=fingerprint,
        images_NHWC=np.memmap(folder / "images.bin", np.uint8, "r", shape=(count, *size, meta["channels"])),
        masks_NHW=np.memmap(folder / "masks.bin", np.uint8, "r", shape=(count, *size)),
        pixels_NK=np.fromfile(folder / "pixels.bin", np.int64).reshape(count, meta["classes"]),
        own_shapes_N2=np.array(meta["own_shapes"], dtype=np.int64),
        own_pixels=np.memmap(folder / "own.bin", np.uint8, "r") if meta["keep_own"] else None,
        key=folder.name,
    )
