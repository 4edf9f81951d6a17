"""Arrays in one .npz file, such as the Mars file: `training_set` [N, 2, 64, 128] and an unlabelled `test_set`.

`data.root` is the file. Its arrays are named by data.npz: either pairs [N, 2, H, W] of image and mask, or images
[N, H, W] or [N, H, W, C] and masks [N, H, W]; whole numbers from 0 to 255 in any type, floating point included. Arrays
of Python objects are refused: reading them could run code. The class names are data.classes; for `training_set` of the
Mars file's shape they are built in.

A container cannot be opened in part: reading a training image passes over the bytes of the others. But images of
another split are neither checked nor decoded nor kept. Unlabelled images are given out by `unlabelled_images` alone,
for predictions and pseudo-labels, and belong to no split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainables.data.errors import DataError
from trainables.data.formats.files import ignored_labels
from trainables.data.formats.npz_arrays import as_bytes, header_shape, read_array
from trainables.data.formats.protocol import StampValue
from trainables.data.formats.terrain import CLASSES as MARS_CLASSES
from trainables.data.splits import Sample, Split

if TYPE_CHECKING:
    from trainables.data.settings import DataSettings, NpzSettings

MARS_PAIRS = "training_set"
MARS_SHAPE = (2, 64, 128)


class NpzDataset:
    """Samples in arrays, which are read when the first is asked for; see formats.protocol.Dataset."""

    default_split = "random"

    def __init__(self, path: Path, names: NpzSettings, class_names: tuple[str, ...], ignored: frozenset[int]) -> None:
        self.path = path
        self.names = names
        self.class_names = class_names
        self.ignored = ignored
        self.lists: Mapping[Split, tuple[str, ...]] = {}
        self.unpublished: Mapping[Split, str] = {}
        count = array_shapes(path, names)[0][0]
        self.samples = tuple(Sample(name, name) for name in (f"{index:05d}" for index in range(count)))

    def missing(self, sample: Sample) -> str | None:
        """Arrays have a mask for every image, or are refused."""
        return None

    def stamp(self, sample: Sample) -> list[StampValue]:
        """Size and time of the one file, and the names of the arrays."""
        status = self.path.stat()
        return [status.st_size, status.st_mtime_ns, self.names.pairs, self.names.images, self.names.masks]

    def content(self, sample: Sample) -> Iterator[bytes]:
        """The bytes of the image and of the mask as stored."""
        for array in self._stored(sample):
            yield np.ascontiguousarray(array).tobytes()

    def shapes(self, sample: Sample) -> tuple[tuple[int, int, int], tuple[int, int]]:
        """The one size of all images, and of all masks."""
        image, mask = self._stored(sample)
        return (image.shape[0], image.shape[1], channels_of(image)), (mask.shape[0], mask.shape[1])

    def image(self, sample: Sample) -> np.ndarray:
        """uint8 [H, W, C]."""
        image = self._stored(sample)[0]
        return as_bytes(image, f"image {sample.name!r} of {self.path}").reshape(*image.shape[:2], channels_of(image))

    def mask(self, sample: Sample) -> np.ndarray:
        """Label ids [H, W]."""
        return as_bytes(self._stored(sample)[1], f"mask {sample.name!r} of {self.path}").astype(np.int32)

    def _stored(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        images, masks = self._arrays
        return images[int(sample.name)], masks[int(sample.name)]

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        # Held as long as this object: as long as one split is prepared.
        if self.names.images is not None and self.names.masks is not None:
            return read_array(self.path, self.names.images), read_array(self.path, self.names.masks)
        assert self.names.pairs is not None
        pairs = read_array(self.path, self.names.pairs)
        return pairs[:, 0], pairs[:, 1]


def open_npz(settings: DataSettings) -> NpzDataset:
    """List the labelled images of the file."""
    path = required_file(settings.root)
    shape = array_shapes(path, settings.npz)[0]
    mars = settings.npz.images is None and settings.npz.pairs == MARS_PAIRS and shape[1:] == MARS_SHAPE
    if settings.classes is None and not mars:
        raise DataError(f"the classes of {path} have no names: set data.classes, in order of their label ids")
    return NpzDataset(path, settings.npz, settings.classes or MARS_CLASSES, ignored_labels(settings.ignore_index))


def unlabelled_images(settings: DataSettings) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and images uint8 [N, H, W, C] without masks, at their own size.

    DataError for another format, where data.npz.unlabelled is none, and where the file has no such array.
    """
    if settings.format != "npz" or settings.npz.unlabelled is None:
        raise DataError(
            "there are no unlabelled images: expected data.format npz and the array's name in data.npz.unlabelled, "
            f"got data.format {settings.format} and {settings.npz.unlabelled}"
        )
    path, name = required_file(settings.root), settings.npz.unlabelled
    shape = header_shape(path, name)
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise DataError(f"{name!r} of {path} has shape {list(shape)}: expected images [N, H, W] or [N, H, W, C]")
    images = as_bytes(read_array(path, name), f"{name!r} of {path}")
    images_NHWC = images.reshape(*images.shape[:3], 1 if images.ndim == 3 else images.shape[3])
    return tuple(f"{name}_{index:05d}" for index in range(len(images_NHWC))), images_NHWC


def required_file(root: str | None) -> Path:
    """The .npz file; DataError if it is not given or not there."""
    if root is None:
        raise DataError("data.root is missing: expected the .npz file; give --data FILE or set data.root")
    path = Path(root).expanduser()
    if not path.is_file():
        raise DataError(f"data.root {root!r} is no file: give --data FILE or set data.root to an existing .npz file")
    return path


def array_shapes(path: Path, names: NpzSettings) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of images and masks with the samples first, from headers; DataError if they are no pairs."""
    if (names.images is None) != (names.masks is None):
        raise DataError("data.npz.images and data.npz.masks go together: set both, or neither and data.npz.pairs")
    if names.images is not None and names.masks is not None:
        images, masks = header_shape(path, names.images), header_shape(path, names.masks)
        if len(images) not in (3, 4) or (len(images) == 4 and images[3] not in (1, 3)) or images[:3] != masks:
            raise DataError(
                f"{path}: expected {names.images!r} [N, H, W] or [N, H, W, C] with 1 or 3 channels and {names.masks!r} "
                f"[N, H, W], got {list(images)} and {list(masks)}"
            )
        return images, masks
    if names.pairs is None:
        raise DataError("data.npz names no arrays: set data.npz.pairs, or data.npz.images and data.npz.masks")
    pairs = header_shape(path, names.pairs)
    if len(pairs) != 4 or pairs[1] != 2:
        raise DataError(
            f"{path}: expected {names.pairs!r} as [N, 2, H, W], image and mask, got {list(pairs)}: "
            "set data.npz.pairs, or data.npz.images and data.npz.masks"
        )
    return pairs, pairs


def channels_of(image: np.ndarray) -> int:
    """1 for [H, W], else the size of the last axis."""
    return 1 if image.ndim == 2 else image.shape[2]
