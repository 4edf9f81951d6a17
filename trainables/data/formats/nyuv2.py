"""NYU Depth v2 with 40 classes (Silberman et al. 2012; classes of Gupta et al. 2013): colour images, depth left out.

`data.root` is a folder in one of two layouts:

1. image/ and label40/ with files of equal stems, labels 0 to 39 with 255 ignored. Stems are the images' numbers from 1
   to 1449. Scenes are not told, so that each image is a group of its own: frames of one room may lie in two splits.
2. nyu_depth_v2_labeled.mat, the official file, with classMapping40.mat beside it, which maps its 894 labels to 1 to 40
   (0 is unlabelled); that mapping is in github.com/ankurhanda/nyuv2-meta-data. Groups are the file's scenes.

`split: official` needs the official splits.mat at the root: 795 training images, of which whole groups become
validation by data.shares, and 654 for test. `split: auto` is `random`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from trainables.data.errors import DataError
from trainables.data.formats.files import FileDataset, files_by_stem, ignored_labels, required_root
from trainables.data.formats.nyuv2_mat import NyuMatDataset, scenes_of
from trainables.data.splits import Sample, Split, with_validation

if TYPE_CHECKING:
    from trainables.data.formats.protocol import Dataset
    from trainables.data.settings import DataSettings

CLASSES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture"),
    *("counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes"),
    *("ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard"),
    *("person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag"),
    *("otherstructure", "otherfurniture", "otherprop"),
)
MAT_FILE = "nyu_depth_v2_labeled.mat"
MAPPING_FILE = "classMapping40.mat"
SPLIT_FILE = "splits.mat"
LABELS = 894  # of the official file, before they are mapped to 40


def open_nyuv2(settings: DataSettings) -> Dataset:
    """List NYU Depth v2 from folders or from the official file."""
    root = required_root(settings.root)
    published = published_split(root / SPLIT_FILE)
    if settings.split == "official" and not published:
        raise DataError(f"data.split official needs the official {SPLIT_FILE} in {root}")
    class_names, ignored = settings.classes or CLASSES, ignored_labels(settings.ignore_index)
    if (root / MAT_FILE).is_file():
        samples = tuple(
            Sample(f"{number:06d}", scene, published=published.get(number))
            for number, scene in enumerate(scenes_of(root / MAT_FILE), start=1)
        )
        mapping = label_mapping(root / MAPPING_FILE)
        return NyuMatDataset(root / MAT_FILE, mapping, divided(samples, settings), class_names, ignored)
    if not (root / "image").is_dir():
        raise DataError(f"{root} is no NYU Depth v2: expected image/ and label40/ in it, or {MAT_FILE}")
    images, masks = files_by_stem(root / "image"), files_by_stem(root / "label40")
    names = sorted(images.keys() | masks.keys())
    for name in names:
        if published and not name.isdecimal():
            raise DataError(f"{root / SPLIT_FILE} numbers the images, but {name!r} is no number: expected 000001, ...")
    samples = tuple(
        Sample(
            name=name,
            group=name,
            published=published[int(name)] if published else None,
            image=images.get(name),
            mask=masks.get(name),
        )
        for name in names
    )
    return FileDataset(
        root=root,
        samples=divided(samples, settings),
        class_names=class_names,
        ignored=ignored,
        default_split="random",
    )


def divided(samples: tuple[Sample, ...], settings: DataSettings) -> tuple[Sample, ...]:
    """The samples, a part of the published training images being validation where that split is asked for."""
    if settings.split != "official":
        return samples
    return with_validation(samples, settings.shares, settings.split_seed)


def published_split(path: Path) -> dict[int, Split]:
    """The split of each image by its number from 1; empty without splits.mat."""
    if not path.is_file():
        return {}
    found = {}
    for key, split in (("trainNdxs", Split.TRAIN), ("testNdxs", Split.TEST)):
        found.update({int(number): split for number in matlab(path, key).ravel()})
    return found


def label_mapping(path: Path) -> np.ndarray:
    """Ids 0 to 39 of the official file's labels 0 to 894, unlabelled being 255: int32 [895]."""
    if not path.is_file():
        raise DataError(
            f"{path} is missing: it maps the labels of {MAT_FILE} to 40 classes (github.com/ankurhanda/nyuv2-meta-data)"
        )
    mapped = matlab(path, "mapClass").ravel().astype(np.int32)
    if len(mapped) != LABELS or mapped.min() < 1 or mapped.max() > len(CLASSES):
        raise DataError(f"{path}: expected mapClass with {LABELS} numbers from 1 to {len(CLASSES)}")
    return np.concatenate([[255], mapped - 1]).astype(np.int32)


def matlab(path: Path, key: str) -> np.ndarray[Any, Any]:
    """A variable of an older MATLAB file."""
    try:
        return np.asarray(scipy.io.loadmat(path, variable_names=[key])[key])
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{path} is damaged or holds no {key} ({error}): download it again") from error
