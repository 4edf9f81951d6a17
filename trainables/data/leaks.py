"""Training images that are the same or nearly the same as validation images: what a split must not have."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
    return _once(cache, [train.key, validation.key], lambda: compare(train, validation))


def find_fold_leak(train: SplitData, validation: SplitData, folds_N: np.ndarray, cache: Path) -> Leak:
    """Compare the images of each fold of both splits with all others, once; every image is validated in its fold."""
    key = [train.key, validation.key, folds_N.tolist()]
    return _once(cache, key, lambda: compare_folds(train, validation, folds_N))


def compare(train: SplitData, validation: SplitData) -> Leak:
    """What `find_leak` keeps."""
    places = np.arange(len(train.names) + len(validation.names))
    return compare_folds(train, validation, places >= len(train.names), held_out=(1,))


def compare_folds(
    train: SplitData, validation: SplitData, folds_N: np.ndarray, held_out: Sequence[int] | None = None
) -> Leak:
    """What `find_fold_leak` keeps; only of the folds `held_out`, if given."""
    thumbnails = Thumbnails.of(
        np.concatenate([thumbnails_of(train.images_NHWC), thumbnails_of(validation.images_NHWC)])
    )
    names = (*train.names, *validation.names)
    pairs, images = [], 0
    for fold in np.unique(folds_N) if held_out is None else held_out:
        validated = np.flatnonzero(folds_N == fold)
        pairs += near_across(thumbnails, np.flatnonzero(folds_N != fold), validated)[0]
        images += len(validated)
    pairs.sort(key=lambda pair: -pair[2])
    return Leak(len(pairs), images, tuple((names[a], names[b], round(value, 4)) for a, b, value in pairs[:SHOWN]))


def _once(cache: Path, key: Sequence[Any], find: Callable[[], Leak]) -> Leak:
    """The answer that is kept in the cache, found where it is not."""
    kept = cache / "leaks" / f"{digest([VERSION, *key])[:32]}.json"
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        return Leak(found["images"], found["of"], tuple((a, b, similarity) for a, b, similarity in found["pairs"]))
    leak = find()
    write_atomically(kept, json.dumps(asdict(leak)))
    return leak
