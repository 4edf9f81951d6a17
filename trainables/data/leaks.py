"""Training images that are the same or nearly the same as validation images: what a split must not have."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from trainables.data.cache import write_atomically
from trainables.data.fingerprints import digest
from trainables.data.similarity import Thumbnails, near_across, thumbnails_of
from trainables.data.split_data import SplitData

SHOWN = 20
VERSION = 1  # part of the key: raise it when `similarity` finds otherwise


@dataclass(frozen=True)
class Leak:
    """How many validation images have a near one in training, out of how many, and the nearest such pairs.

    `pairs` are (training name, validation name, correlation), at most 20.
    """

    images: int
    of: int
    pairs: tuple[tuple[str, str, float], ...]


def find_leak(train: SplitData, validation: SplitData, cache: Path) -> Leak:
    """Compare all images of the two splits, once: the answer is kept in the cache for these two folders."""
    kept = cache / "leaks" / f"{digest([VERSION, train.key, validation.key])[:32]}.json"
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        return Leak(found["images"], found["of"], tuple((a, b, similarity) for a, b, similarity in found["pairs"]))
    leak = compare(train, validation)
    write_atomically(kept, json.dumps(asdict(leak)))
    return leak


def compare(train: SplitData, validation: SplitData) -> Leak:
    """What `find_leak` keeps."""
    thumbnails = Thumbnails.of(
        np.concatenate([thumbnails_of(train.images_NHWC), thumbnails_of(validation.images_NHWC)])
    )
    count = len(train.names)
    pairs, _ = near_across(thumbnails, np.arange(count), np.arange(count, count + len(validation.names)))
    shown = tuple((train.names[a], validation.names[b - count], round(value, 4)) for a, b, value in pairs[:SHOWN])
    return Leak(len(pairs), len(validation.names), shown)
