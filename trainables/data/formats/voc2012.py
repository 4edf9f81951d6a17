"""PASCAL VOC 2012 as published: JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/ (Everingham et al. 2010).

`data.root` is the folder VOC2012, or one that holds VOCdevkit/VOC2012 (as the archive unpacks) or VOC2012. Masks are
palette PNGs: 0 is background, 1 to 20 are objects, 255 is border and void and ignored. Images without a mask are no
part of the set: it has the names in train.txt and val.txt.

Masks of the published test images are not public. So `split: auto` is `random` here (train, validation and test by
data.shares from all 2,913 images, so that the winner can be promoted), while `split: official` trains on train.txt and
validates on val.txt, as published validation figures do, and has no test split: promotion is refused. A data set with
its own test images belongs into the folder format.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainables.data.errors import DataError, raise_findings
from trainables.data.formats.files import FileDataset, ignored_labels, required_root
from trainables.data.splits import Sample, Split

if TYPE_CHECKING:
    from trainables.data.settings import DataSettings

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
LISTS = {Split.TRAIN: "train.txt", Split.VALIDATION: "val.txt"}
NO_TEST = (
    "the masks of VOC 2012's test images are not public; for a held-out test split set data.split to random, "
    "which divides the images of train.txt and val.txt by data.shares"
)


def open_voc2012(settings: DataSettings) -> FileDataset:
    """List VOC 2012's segmentation images."""
    root = voc_folder(required_root(settings.root))
    published: dict[str, Split] = {}
    findings = []
    for split, list_name in LISTS.items():
        for name in listed(root / "ImageSets" / "Segmentation" / list_name):
            if name in published:
                findings.append(f"{name!r} is listed twice, in {published[name]} and {split}: keep it in one")
            published[name] = split
    raise_findings(findings, str(root / "ImageSets" / "Segmentation"))
    images = {name: root / "JPEGImages" / f"{name}.jpg" for name in published}
    masks = {name: root / "SegmentationClass" / f"{name}.png" for name in published}
    return FileDataset(
        root=root,
        samples=tuple(
            Sample(
                name=name,
                group=name,
                published=published[name],
                image=images[name] if images[name].is_file() else None,
                mask=masks[name] if masks[name].is_file() else None,
            )
            for name in sorted(published)
        ),
        class_names=settings.classes or CLASSES,
        ignored=ignored_labels(settings.ignore_index),
        default_split="random",
        unpublished={Split.TEST: NO_TEST},
    )


def voc_folder(root: Path) -> Path:
    """The folder with ImageSets/Segmentation, at the root or where the archive puts it."""
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / "ImageSets" / "Segmentation").is_dir():
            return folder
    raise DataError(
        f"{root} is no VOC 2012: expected ImageSets/Segmentation, JPEGImages and SegmentationClass in it, "
        "in VOC2012 or in VOCdevkit/VOC2012"
    )


def listed(path: Path) -> list[str]:
    """The names in one list file."""
    if not path.is_file():
        raise DataError(f"{path} is missing: it names the images with masks, one a line")
    return path.read_text(encoding="utf-8").split()
