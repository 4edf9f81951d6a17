"""SUN RGB-D with its 37 classes (Song et al. 2015): colour images, depth left out.

`data.root` is a folder in one of these layouts; label 0 is unlabelled and ignored, labels 1 to 37 become ids 0 to 36
(data.ignore_index means these new ids):

1. the official tree, at the root or in its SUNRGBD/: kv1, kv2, realsense and xtion with .../SCENE/image/NAME.jpg, and
   a. labels as PNG in each scene: SCENE/label37/*.png or SCENE/label/*.png; or
   b. sunrgbd_train_test_labels/img-000001.png ..., numbered in the order of the lists, testing before training; or
   c. SUNRGBDtoolbox/Metadata/SUNRGBD2Dseg.mat (or the file at the root), in the same order;
2. the three archives of github.com/ankurhanda/sunrgbd-meta-data unpacked side by side: SUNRGBD-train_images,
   SUNRGBD-test_images and sunrgbd_train_test_labels, whose first labels are the test images'.

The published lists sunrgbd_training_images.txt and sunrgbd_testing_images.txt of that repository lie at the root, in
SUNRGBD/ or in sunrgbd-meta-data/. Layouts 1b and 1c need them, and so does `split: official` in layout 1: 5,285
training images, of which whole groups become validation by data.shares, and 5,050 for test. Mind that they divide 44
of SUN3D's 270 sequences between training and test. `split: auto` is `random`: whole groups of all 10,335 images.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.data.errors import DataError
from trainables.data.formats.files import FileDataset, MaskFiles, MaskReader, ignored_labels, required_root
from trainables.data.formats.sunrgbd_mat import MatMasks
from trainables.data.formats.sunrgbd_scenes import LISTS, groups_of, listed_images, scene_name, tree_images
from trainables.data.splits import Sample, Split, with_validation

if TYPE_CHECKING:
    from trainables.data.settings import DataSettings

CLASSES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture"),
    *("counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes"),
    *("ceiling", "books", "fridge", "tv", "paper", "towel", "shower curtain", "box", "whiteboard", "person"),
    *("night stand", "toilet", "sink", "lamp", "bathtub", "bag"),
)
NUMBERED = "sunrgbd_train_test_labels"
MAT_FILES = ("SUNRGBD2Dseg.mat", "SUNRGBDtoolbox/Metadata/SUNRGBD2Dseg.mat")
ARCHIVES = {Split.TEST: "SUNRGBD-test_images", Split.TRAIN: "SUNRGBD-train_images"}


def open_sunrgbd(settings: DataSettings) -> FileDataset:
    """List SUN RGB-D in whichever layout it lies."""
    root = required_root(settings.root)
    masks: MaskReader = MaskFiles()
    if (root / ARCHIVES[Split.TRAIN]).is_dir():
        samples = archive_samples(root)
    else:
        samples, masks = tree_samples(root, settings.split == "official")
    if settings.split == "official":
        samples = with_validation(samples, settings.shares, settings.split_seed)
    return FileDataset(
        root=root,
        samples=samples,
        class_names=settings.classes or CLASSES,
        ignored=ignored_labels(settings.ignore_index),
        default_split="random",
        masks=masks,
        first_label=1,
    )


def tree_samples(root: Path, official: bool) -> tuple[tuple[Sample, ...], MaskReader]:
    """Samples of the official tree, sorted by name, and what reads their masks."""
    tree = root / "SUNRGBD" if (root / "SUNRGBD").is_dir() else root
    listed = listed_images(root, tree)
    mat = next((root / name for name in MAT_FILES if (root / name).is_file()), None)
    numbered = root / NUMBERED
    needs = "data.split official" if official else f"{NUMBERED}/" if numbered.is_dir() else mat and mat.name
    if not listed and needs:
        raise DataError(
            f"{needs} needs the published lists: put {' and '.join(LISTS.values())} "
            f"(from github.com/ankurhanda/sunrgbd-meta-data) into {root}"
        )
    published = {image: split for split, images in listed.items() for image in images}
    images = list(published) or tree_images(tree)
    if not images:
        raise DataError(f"{root} holds no SUN RGB-D: expected the folders kv1, kv2, realsense and xtion, or {ARCHIVES}")
    place = {image: number for number, image in enumerate(images)}
    groups = groups_of([scene_name(image, tree) for image in images])
    samples = []
    for image in images:
        name = scene_name(image, tree)
        if numbered.is_dir():
            mask = existing(numbered / f"img-{place[image] + 1:06d}.png")
        else:
            mask = mat or scene_mask(image.parent.parent)
        samples.append(Sample(name, groups[name], None, published.get(image), existing(image), mask))
    if not any(sample.mask for sample in samples):
        raise DataError(
            f"{root} holds images but no labels: expected SCENE/label37/*.png, SCENE/label/*.png, {NUMBERED}/ "
            f"or {MAT_FILES[1]}"
        )
    reader = MatMasks({scene_name(image, tree): number for image, number in place.items()})
    sorted_samples = tuple(sorted(samples, key=lambda sample: sample.name))
    return sorted_samples, MaskFiles() if numbered.is_dir() or mat is None else reader


def archive_samples(root: Path) -> tuple[Sample, ...]:
    """Samples of the three archives: labels in order of their numbers, the test images' first.

    Groups come from the lists where they are there; otherwise every image is a group of its own.
    """
    images = {split: by_number(root / folder, "jpg") for split, folder in ARCHIVES.items()}
    labels = by_number(root / NUMBERED, "png")
    total = sum(map(len, images.values()))
    if len(labels) != total or not total:
        raise DataError(
            f"{root / NUMBERED} holds {len(labels)} labels but the image folders hold {total} images: "
            "unpack all three archives whole"
        )
    names = {(split, image): f"{split}-{image.stem}" for split in images for image in images[split]}
    groups = {name: name for name in names.values()}
    listed = listed_images(root, root)
    if listed:
        for split, paths in listed.items():
            if len(paths) != len(images[split]):
                raise DataError(
                    f"{LISTS[split]} names {len(paths)} images, {ARCHIVES[split]} holds {len(images[split])}"
                )
        scenes = [scene_name(image, root) for split in ARCHIVES for image in listed[split]]
        found = groups_of(scenes)
        groups = {name: found[scene] for name, scene in zip(names.values(), scenes, strict=True)}
    return tuple(
        Sample(name, groups[name], None, split, image, label)
        for ((split, image), name), label in zip(names.items(), labels, strict=True)
    )


def by_number(folder: Path, suffix: str) -> list[Path]:
    """The files img-NUMBER.suffix of a folder in the order of their numbers."""
    if not folder.is_dir():
        raise DataError(f"{folder} is missing: expected the unpacked archive with img-000001.{suffix}, ...")
    found = {
        int(match[1]): path
        for path in folder.iterdir()
        if (match := re.fullmatch(rf"img-(\d+)\.{suffix}", path.name)) is not None
    }
    return [found[number] for number in sorted(found)]


def scene_mask(scene: Path) -> Path | None:
    """The one label picture of a scene."""
    for folder in (scene / "label37", scene / "label"):
        pictures = sorted(folder.glob("*.png"))
        if len(pictures) > 1:
            raise DataError(f"{folder} holds {len(pictures)} pictures: expected the one label of the scene's image")
        if pictures:
            return pictures[0]
    return None


def existing(path: Path) -> Path | None:
    """The path if there is a file."""
    return path if path.is_file() else None
