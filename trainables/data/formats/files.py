"""A data set whose images and masks are files matched by their stems."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from trainables.data.errors import DataError, raise_findings
from trainables.data.formats.decode import decode_image, decode_mask, image_shape, mask_shape
from trainables.data.formats.protocol import StampValue
from trainables.data.splits import IGNORE, Sample, Split

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


class MaskReader(Protocol):
    """Reads the mask of a sample from its file."""

    def place(self, sample: Sample) -> StampValue:
        """Where in the file the mask lies; None in a file of its own."""

    def content(self, sample: Sample) -> bytes:
        """The mask's bytes."""

    def shape(self, sample: Sample) -> tuple[int, int]:
        """Height and width, without decoding pixels."""

    def ids(self, sample: Sample) -> np.ndarray:
        """Label ids [H, W] as stored."""


class MaskFiles:
    """Masks that are pictures in files of their own."""

    def place(self, sample: Sample) -> StampValue:
        """The whole file."""
        return None

    def content(self, sample: Sample) -> bytes:
        """The file's bytes."""
        return pair(sample)[1].read_bytes()

    def shape(self, sample: Sample) -> tuple[int, int]:
        """From the file's header."""
        return mask_shape(pair(sample)[1])

    def ids(self, sample: Sample) -> np.ndarray:
        """Decoded."""
        return decode_mask(pair(sample)[1])


@dataclass(frozen=True)
class FileDataset:
    """Samples in files below `root`; see formats.protocol.Dataset."""

    root: Path
    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
    ignored: frozenset[int]
    default_split: str
    lists: Mapping[Split, tuple[str, ...]] = field(default_factory=dict)
    unpublished: Mapping[Split, str] = field(default_factory=dict)
    masks: MaskReader = field(default_factory=MaskFiles)
    first_label: int = 0  # stored id of class 0; smaller ids are unlabelled pixels

    def missing(self, sample: Sample) -> str | None:
        """Name what is missing of a pair."""
        if sample.image is None and sample.mask is None:
            return f"{sample.name!r} is in a split list but has neither image nor mask"
        if sample.mask is None and sample.image is not None:
            return (
                f"image {sample.image.relative_to(self.root)} has no mask: add it or name {sample.name!r} in data.drop"
            )
        if sample.image is None and sample.mask is not None:
            return (
                f"mask {sample.mask.relative_to(self.root)} has no image: add it or name {sample.name!r} in data.drop"
            )
        return None

    def stamp(self, sample: Sample) -> list[StampValue]:
        """Paths below the root, sizes and modification times of both files."""
        values: list[StampValue] = []
        for path in pair(sample):
            status = path.stat()
            values += [str(path.relative_to(self.root)), status.st_size, status.st_mtime_ns]
        return [*values, self.masks.place(sample)]

    def content(self, sample: Sample) -> Iterator[bytes]:
        """The bytes of the image's file and of the mask."""
        yield pair(sample)[0].read_bytes()
        yield self.masks.content(sample)

    def shapes(self, sample: Sample) -> tuple[tuple[int, int, int], tuple[int, int]]:
        """Both shapes from the files' headers."""
        return image_shape(pair(sample)[0]), self.masks.shape(sample)

    def image(self, sample: Sample) -> np.ndarray:
        """uint8 [H, W, C]."""
        return decode_image(pair(sample)[0])

    def mask(self, sample: Sample) -> np.ndarray:
        """Label ids [H, W], those of unlabelled pixels being 255."""
        stored_HW = self.masks.ids(sample)
        if self.first_label == 0:
            return stored_HW
        # Ids move down by `first_label`; 255, ignored everywhere, stays.
        unlabelled_HW = (stored_HW < self.first_label) | (stored_HW == IGNORE)
        return np.where(unlabelled_HW, IGNORE, stored_HW - self.first_label)


def pair(sample: Sample) -> tuple[Path, Path]:
    """The sample's two files; a sample that lacks one was refused before anything of it is read."""
    assert sample.image is not None and sample.mask is not None, sample.name
    return sample.image, sample.mask


def required_root(root: str | None) -> Path:
    """The data set's folder; DataError if it is not given or not there."""
    if root is None:
        raise DataError("data.root is missing: expected the folder of the data set; give --data ROOT or set data.root")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise DataError(f"data.root {root!r} is no folder: give --data ROOT or set data.root to an existing one")
    return folder


def ignored_labels(ignore_index: int | None) -> frozenset[int]:
    """The label ids that do not count: 255 and data.ignore_index."""
    return frozenset({IGNORE} if ignore_index is None else {IGNORE, ignore_index})


def files_by_stem(folder: Path) -> dict[str, Path]:
    """The image files of a folder by stem; other files are passed over, two files of one stem are refused."""
    if not folder.is_dir():
        raise DataError(f"{folder} is missing: expected a folder of {', '.join(SUFFIXES)} files")
    found: dict[str, Path] = {}
    findings = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            findings.append(f"{found[path.stem].name} and {path.name} have the same stem: keep one")
        found[path.stem] = path
    raise_findings(findings, str(folder))
    return found


def label_names(root: Path, given: tuple[str, ...] | None, ignored: frozenset[int]) -> tuple[str, ...]:
    """Names of the classes: as given, else from classes.txt, one name a line in order, or `ID name` on every line.

    Ignored ids at the end of classes.txt are no classes.
    """
    if given is not None:
        return given
    path = root / "classes.txt"
    if not path.is_file():
        raise DataError(f"the classes have no names: set data.classes or write {path}, one name a line in order of ids")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    pairs = [line.split(maxsplit=1) for line in lines]
    if all(len(words) == 2 and words[0].isdecimal() for words in pairs):
        named = {int(words[0]): words[1] for words in pairs}
    else:
        named = dict(enumerate(lines))
    while named and max(named) in ignored:
        del named[max(named)]
    if len(named) == 0 or sorted(named) != list(range(len(named))):
        raise DataError(f"{path}: expected the ids 0, 1, 2, ... without a hole, got {sorted(named)}")
    return tuple(named[label] for label in range(len(named)))
