"""The images on which each class comes out worst and best, by confusion matrices per image.

They are chosen by the best trial and are the same for all trials that are compared with it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dashboards.masks import Picture, read_pictures
from dashboards.outcomes import ranked
from search.records.study import StudyRecord, TrialRecord

# Files of a trial's folder: the matrices of its best weights, and the images they point at with its predictions.
COUNTS, PICTURES = "validation_per_image_confusion.npz", "extremes.npz"
# Of an image's pixels a class must have so many to be judged there: a few are hit or missed by chance.
LEAST_SHARE = 0.001
MOST_TRIALS = 3


@dataclass(frozen=True)
class ImageCounts:
    """Names of images and their counts int64 [N, K, K], rows target."""

    names: tuple[str, ...]
    counts_NKK: NDArray[np.int64]


@dataclass(frozen=True)
class Extreme:
    """An image on which a class is `worst`, `best`, or which is the `only` one; indices of class and image.

    `iou` is the class's IoU in that image, `images` the number of images in which it was judged.
    """

    label: int
    which: str
    image: int
    iou: float
    images: int


@dataclass(frozen=True)
class Judged:
    """A trial with its matrices, the class's IoU in each image, and its pictures by name, if it has all that are drawn.

    `iou_NK` is NaN where a class has no counted target pixel.
    """

    trial: TrialRecord
    counts: ImageCounts
    iou_NK: NDArray[np.float64]
    pictures: dict[str, Picture]


def judged_trials(study: StudyRecord) -> tuple[list[Judged], list[Extreme]]:
    """The best trial, up to two near the top with matrices of the same images, and the extremes of the best one.

    Both empty where the best trial has no matrices.
    """
    judged: list[Judged] = []
    extremes: list[Extreme] = []
    wanted: set[str] = set()
    for trial in ranked(study)[: 2 * MOST_TRIALS]:
        counts = read_image_counts(trial.folder)
        if not judged:
            if counts is None:
                break
            extremes = find_extremes(counts.counts_NKK)
            wanted = {counts.names[one.image] for one in extremes}
        if counts is not None and (not judged or counts.names == judged[0].counts.names):
            pictures = {picture.name: picture for picture in read_pictures(trial.folder / PICTURES)}
            whole = pictures if wanted <= set(pictures) else {}
            judged.append(Judged(trial, counts, image_iou_NK(counts.counts_NKK), whole))
    return judged[:MOST_TRIALS], extremes


def read_image_counts(folder: Path) -> ImageCounts | None:
    """The matrices in a trial's folder; None where it has none, or those of a replicate, without names."""
    if not (folder / COUNTS).is_file():
        return None
    with np.load(folder / COUNTS, allow_pickle=False) as kept:
        if "names" not in kept:
            return None
        return ImageCounts(tuple(map(str, kept["names"])), np.asarray(kept["counts_NKK"], dtype=np.int64))


def image_iou_NK(counts_NKK: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of each class in each image, NaN where the class has no counted target pixel."""
    right_NK = np.diagonal(counts_NKK, axis1=1, axis2=2)
    target_NK = counts_NKK.sum(axis=2)
    union_NK = target_NK + counts_NKK.sum(axis=1) - right_NK
    return np.where(target_NK > 0, right_NK / np.maximum(union_NK, 1), np.nan)


def find_extremes(counts_NKK: NDArray[np.int64]) -> list[Extreme]:
    """Class by class the worst and the best image, or the only one; a class without a target pixel has none.

    Judged are the images of which the class has 0.1 % of the pixels, or all where it has as much in none. Of images of
    equal IoU the one with more of the class's pixels is taken.
    """
    iou_NK, target_NK = image_iou_NK(counts_NKK), counts_NKK.sum(axis=2)
    found = []
    for label in range(counts_NKK.shape[1]):
        target_N = target_NK[:, label]
        enough_N = (target_N > 0) & (target_N >= LEAST_SHARE * target_NK.sum(axis=1))
        judged = np.flatnonzero(enough_N if enough_N.any() else target_N > 0).tolist()
        if not judged:
            continue
        iou_N = iou_NK[:, label].tolist()
        pixels_N = target_N.tolist()
        worst = min(judged, key=lambda n: (iou_N[n], -pixels_N[n], n))
        best = min(judged, key=lambda n: (-iou_N[n], -pixels_N[n], n))
        chosen = [("only", worst)] if len(judged) == 1 else [("worst", worst), ("best", best)]
        found += [Extreme(label, which, image, iou_N[image], len(judged)) for which, image in chosen]
    return found
