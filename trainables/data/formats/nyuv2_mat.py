"""The official nyu_depth_v2_labeled.mat, read one image at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainables.data.errors import DataError
from trainables.data.formats.hdf5 import opened_mat, text_of
from trainables.data.formats.protocol import StampValue
from trainables.data.splits import Sample, Split


@dataclass(frozen=True, eq=False)
class NyuMatDataset:
    """Samples whose names are their numbers in the file, from 1; see formats.protocol.Dataset."""

    path: Path
    mapping: np.ndarray  # id of each stored label
    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
    ignored: frozenset[int]
    default_split: str = "random"
    lists: Mapping[Split, tuple[str, ...]] = field(default_factory=dict)
    unpublished: Mapping[Split, str] = field(default_factory=dict)

    def missing(self, sample: Sample) -> str | None:
        """Every image of the file has its mask."""
        return None

    def stamp(self, sample: Sample) -> list[StampValue]:
        """Size and time of the one file."""
        status = self.path.stat()
        return [self.path.name, status.st_size, status.st_mtime_ns]

    def content(self, sample: Sample) -> Iterator[bytes]:
        """The bytes of the decoded arrays."""
        yield np.ascontiguousarray(self.image(sample)).tobytes()
        yield np.ascontiguousarray(self.mask(sample)).tobytes()

    def shapes(self, sample: Sample) -> tuple[tuple[int, int, int], tuple[int, int]]:
        """From the arrays' headers."""
        with opened_mat(self.path) as file:
            _, channels, width, height = file["images"].shape
            _, mask_width, mask_height = file["labels"].shape
        return (height, width, channels), (mask_height, mask_width)

    def image(self, sample: Sample) -> np.ndarray:
        """uint8 [H, W, 3]; stored as [N, 3, W, H]."""
        with opened_mat(self.path) as file:
            return np.asarray(file["images"][int(sample.name) - 1]).transpose(2, 1, 0)

    def mask(self, sample: Sample) -> np.ndarray:
        """Label ids [H, W], unlabelled pixels being 255; stored as [N, W, H]."""
        with opened_mat(self.path) as file:
            stored_HW = np.asarray(file["labels"][int(sample.name) - 1]).T
        if stored_HW.max() >= len(self.mapping):
            raise DataError(
                f"mask of {sample.name!r} has label {stored_HW.max()}: expected 0 to {len(self.mapping) - 1}"
            )
        return np.asarray(self.mapping[stored_HW])


def scenes_of(path: Path) -> list[str]:
    """The scene of every image, in the file's order."""
    with opened_mat(path) as file:
        return [text_of(file, reference) for reference in np.asarray(file["scenes"]).ravel()]
