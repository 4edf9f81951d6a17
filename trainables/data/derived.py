"""Data derived from a prepared split, such as a part of it or cleaned masks, in cache folders of their own."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trainables.data.cache import build_folder, builder_lock, require_disk
from trainables.data.fingerprints import digest
from trainables.data.split_data import SplitData, SplitWriter, open_split


class Row(NamedTuple):
    """One derived sample: image uint8 [H, W, C] and mask uint8 [H, W] as stored, and the mask at its own size."""

    name: str
    group: str
    image_HWC: np.ndarray
    mask_HW: np.ndarray
    own_mask_HW: np.ndarray


def row_of(data: SplitData, index: int) -> Row:
    """A sample of the split as it is."""
    return Row(
        data.names[index], data.groups[index], data.images_NHWC[index], data.masks_NHW[index], data.own_mask(index)
    )


def derive(
    data: SplitData,
    recipe: Any,
    rows: Callable[[], Iterable[Row]],
    count: int,
    cache: Path,
    *,
    keep_own: bool | None = None,
) -> SplitData:
    """The split that `rows()` yields, memory-mapped; built if absent, by one process per node.

    `recipe` is JSON that, with the split itself, decides the rows; `count` is how many they are at most. The result
    keeps the fingerprint of `data`: it tells what lies on disk, not what is made of it. `keep_own` says whether masks
    at their own sizes differ from the stored ones, as in `data` by default. `rows` holds for its own errors; masks may
    not be ignored altogether.
    """
    folder = cache / f"derived-{digest([data.key, data.fingerprint, recipe])[:32]}"
    if not folder.is_dir():
        with builder_lock(cache):
            if not folder.is_dir():
                own = 0 if data.own_pixels is None else int(data.own_shapes_N2.prod(axis=1).max())
                sample_bytes = data.images_NHWC[0].nbytes + data.masks_NHW[0].nbytes + own
                require_disk(cache, count * sample_bytes)
                kept = data.own_pixels is not None if keep_own is None else keep_own
                build_folder(folder, lambda target: write_rows(data, rows(), target, kept))
    return open_split(folder, data.class_names, data.fingerprint)


def write_rows(data: SplitData, rows: Iterable[Row], folder: Path, keep_own: bool) -> None:
    """Write the rows in the layout of `data`."""
    _, height, width, channels = data.images_NHWC.shape
    names, groups = [], []
    with SplitWriter(folder, (height, width), channels, len(data.class_names), keep_own) as writer:
        for row in rows:
            writer.add(row.image_HWC, row.mask_HW, row.own_mask_HW)
            names.append(row.name)
            groups.append(row.group)
    writer.finish(names, groups)
