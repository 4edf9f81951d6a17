"""A folder with images/ and masks/, matched by stem, and optional lists of the splits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainables.data.errors import DataError
from trainables.data.formats.files import (
    SUFFIXES,
    FileDataset,
    files_by_stem,
    ignored_labels,
    label_names,
    required_root,
)
from trainables.data.splits import Sample, Split, sequence_and_frame

if TYPE_CHECKING:
    from trainables.data.settings import DataSettings

LIST_FILES = {
    Split.TRAIN: ("train.txt",),
    Split.VALIDATION: ("validation.txt", "val.txt"),
    Split.TEST: ("test.txt",),
}


def open_folder(settings: DataSettings) -> FileDataset:
    """List a data set of the folder layout."""
    root = required_root(settings.root)
    images, masks = files_by_stem(root / "images"), files_by_stem(root / "masks")
    ignored = ignored_labels(settings.ignore_index)
    samples = []
    for name in sorted(images.keys() | masks.keys()):
        # Only `blocks` reads names as SEQUENCE_FRAME; elsewhere an underscore means nothing.
        place = sequence_and_frame(name) if settings.split == "blocks" else None
        group, frame = place if place else (name, None)
        samples.append(Sample(name=name, group=group, frame=frame, image=images.get(name), mask=masks.get(name)))
    lists = read_lists(root)
    return FileDataset(
        root=root,
        samples=tuple(samples),
        class_names=label_names(root, settings.classes, ignored),
        ignored=ignored,
        default_split="lists" if lists else "random",
        lists=lists,
    )


def read_lists(root: Path) -> dict[Split, tuple[str, ...]]:
    """The names in train.txt, validation.txt (or val.txt) and test.txt, for those that exist."""
    lists = {}
    for split, names in LIST_FILES.items():
        found = [root / name for name in names if (root / name).is_file()]
        if len(found) > 1:
            raise DataError(f"{found[0]} and {found[1].name} both list the {split} split: keep one")
        if found:
            lines = [line.strip() for line in found[0].read_text(encoding="utf-8").splitlines()]
            lists[split] = tuple(stem(line) for line in lines if line)
    return lists


def stem(entry: str) -> str:
    """The stem of a list's entry, which may carry an image suffix; dots inside a stem stay."""
    return entry[: entry.rindex(".")] if entry.lower().endswith(SUFFIXES) else entry
