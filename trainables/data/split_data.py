"""One split, decoded and resized once: written to a folder, then opened memory-mapped."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from trainables.data.cache import require_disk
from trainables.data.checks import Size, read_headers, read_pair
from trainables.data.errors import DataError, raise_findings
from trainables.data.formats.protocol import Dataset
from trainables.data.splits import IGNORE, Sample

# Part of the cache's key: change it with the code of `resize_image` or `resize_mask`.
RESIZE_RULE = "images by area when shrinking, else bilinear; masks by exact nearest; 1"


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
    fingerprint: str
    images_NHWC: np.ndarray
    masks_NHW: np.ndarray
    pixels_K: np.ndarray  # int64: valid pixels of each class, in the masks at their own size
    images_K: np.ndarray  # int64: images that contain each class
    own_shapes_N2: np.ndarray
    own_pixels: np.ndarray | None  # the masks at their own sizes, one after the other; None: masks_NHW are at their own

    def own_mask(self, index: int) -> np.ndarray:
        """uint8 [H0, W0], the mask at its own size, or at `data.eval_size` for validation."""
        if self.own_pixels is None:
            return np.array(self.masks_NHW[index])
        areas = self.own_shapes_N2.prod(axis=1)
        start = int(areas[:index].sum())
        return np.array(self.own_pixels[start : start + int(areas[index])]).reshape(self.own_shapes_N2[index])


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


def write_split(dataset: Dataset, samples: Sequence[Sample], layout: Layout, folder: Path, where: str) -> None:
    """Check and decode all pairs and write images.bin, masks.bin, own.bin and meta.json into an existing folder.

    Raises one DataError with all findings of all pairs.
    """
    headers = read_headers(dataset, samples, layout.size)
    findings = list(headers.findings)
    size = layout.size or (headers.sizes[0] if headers.sizes else (0, 0))
    own_shapes = [layout.eval_size] * len(samples) if layout.eval_size else list(headers.sizes)
    own_differs = any(shape != size for shape in own_shapes)
    own_bytes = sum(height * width for height, width in own_shapes) if own_differs else 0
    require_disk(folder.parent, len(samples) * size[0] * size[1] * (headers.channels + 1) + own_bytes)
    pixels_K, images_K = np.zeros((2, layout.classes), dtype=np.int64)
    with ExitStack() as files:
        images, masks, own = (
            files.enter_context((folder / name).open("wb")) for name in ("images.bin", "masks.bin", "own.bin")
        )
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
            counts_K = np.bincount(own_mask[own_mask != IGNORE], minlength=layout.classes)
            pixels_K += counts_K
            images_K += counts_K > 0
            images.write(np.ascontiguousarray(resize_image(image, size)).tobytes())
            masks.write(np.ascontiguousarray(resize_mask(mask, size)).tobytes())
            if own_differs:
                own.write(np.ascontiguousarray(own_mask).tobytes())
    raise_findings(findings, where)
    if not pixels_K.any():
        raise DataError(f"{where}: every pixel of every mask is ignored: check data.ignore_index and the masks")
    meta = {
        "size": size,
        "channels": headers.channels,
        "own_shapes": own_shapes,
        "own_differs": own_differs,
        "pixels": pixels_K.tolist(),
        "images": images_K.tolist(),
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def open_split(folder: Path, samples: Sequence[Sample], class_names: tuple[str, ...], fingerprint: str) -> SplitData:
    """Map what `write_split` wrote for these samples."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    count, size = len(samples), tuple(meta["size"])
    return SplitData(
        names=tuple(sample.name for sample in samples),
        groups=tuple(sample.group for sample in samples),
        class_names=class_names,
        fingerprint=fingerprint,
        images_NHWC=np.memmap(folder / "images.bin", np.uint8, "r", shape=(count, *size, meta["channels"])),
        masks_NHW=np.memmap(folder / "masks.bin", np.uint8, "r", shape=(count, *size)),
        pixels_K=np.array(meta["pixels"], dtype=np.int64),
        images_K=np.array(meta["images"], dtype=np.int64),
        own_shapes_N2=np.array(meta["own_shapes"], dtype=np.int64),
        own_pixels=np.memmap(folder / "own.bin", np.uint8, "r") if meta["own_differs"] else None,
    )
