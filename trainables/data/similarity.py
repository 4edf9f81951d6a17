"""Images and masks that are the same or nearly the same, found among thousands by comparing small thumbnails.

Images are compared as grey thumbnails of 32x32 pixels by correlation, which brightness, contrast, re-encoding,
resizing, blur and small crops hardly change. Two images are near where

1. their thumbnails correlate by 0.95 or more, and
2. so do, by 0.8 or more, what the two thumbnails have beyond the mean thumbnail of the set: the frame of a scanner, a
   sky over ground or a standing camera's background is in all images and makes none of them copies. Thumbnails that
   correlate by 0.999 are copies in any set. Below 20 images the mean says little: there a correlation of 0.99 decides.

Measured on CamVid at 120x160: no two of 55,977 frames of different sequences are near (they correlate by at most 0.88),
59 of 448 a second apart are, 162 of 197 a tenth to a fifth of a second apart, and 4 of 43,642 more than ten seconds
apart, where the car stands. Of copies, those after JPEG at quality 20, gamma 1.5, noise of 10 grey levels or halving
are all found, of those blurred by 1.5 pixels, cropped by 2 % or shifted by 2 pixels 87 to 100 %; copies cropped by 5 %
or turned by 2 degrees are often lost and mirrored ones always. No two images of the generated terrain correlate by more
than 0.85. Thumbnails without contrast, such as an all-black image's, are near to nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 32
NEAR = 0.95
NEAR_BEYOND_MEAN = 0.8
NEAR_AMONG_FEW = 0.99
SURELY_NEAR = 0.999
LEAST_FOR_MEAN = 20  # images
FLAT = 1.0  # standard deviation in grey levels below which a thumbnail shows nothing
NEAR_MASKS = 0.95  # mean IoU of two masks' thumbnails
BLOCK = 512  # rows compared at once: with 10,000 images a block takes 40 MB

Pair = tuple[int, int, float]


def thumbnail(image_HWC: np.ndarray) -> np.ndarray:
    """Grey levels float32 [32 * 32] of an image uint8 [H, W, C], averaged by area."""
    grey_HW = image_HWC[..., 0] if image_HWC.shape[2] == 1 else cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY)
    small_HW = cv2.resize(np.ascontiguousarray(grey_HW), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small_HW, dtype=np.float32).ravel()


def mask_thumbnail(mask_HW: np.ndarray) -> np.ndarray:
    """Labels [32 * 32] of a mask by the nearest pixel centre."""
    small_HW = cv2.resize(mask_HW.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(small_HW).ravel()


@dataclass(frozen=True)
class Thumbnails:
    """Thumbnails of a set of images as unit vectors [N, D], plain and beyond the set's mean; flat ones are zero."""

    plain_ND: np.ndarray
    beyond_ND: np.ndarray | None

    @classmethod
    def of(cls, grey_ND: np.ndarray) -> "Thumbnails":
        """From grey levels [N, D]; images that are to be compared come together, since they share the mean."""
        spread_N = grey_ND.std(axis=1)
        centred_ND = grey_ND - grey_ND.mean(axis=1, keepdims=True)
        plain_ND = np.where(spread_N[:, None] < FLAT, 0, _unit(centred_ND)).astype(np.float32)
        if np.count_nonzero(spread_N >= FLAT) < LEAST_FOR_MEAN:
            return cls(plain_ND, None)
        return cls(plain_ND, _unit(plain_ND - plain_ND[spread_N >= FLAT].mean(axis=0)))

    def compare(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Correlations [rows, columns], and whether the images are near."""
        plain = self.plain_ND[rows] @ self.plain_ND[columns].T
        if self.beyond_ND is None:
            return plain, plain >= NEAR_AMONG_FEW
        beyond = self.beyond_ND[rows] @ self.beyond_ND[columns].T
        return plain, (plain >= NEAR) & ((beyond >= NEAR_BEYOND_MEAN) | (plain >= SURELY_NEAR))


@dataclass(frozen=True)
class MaskThumbnails:
    """Thumbnails of masks, labels [N, D] with 255 for what does not count."""

    labels_ND: np.ndarray

    def compare(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean IoU [rows, columns] over the classes in either mask, and whether the masks are near."""
        first_ND, second_ND = self.labels_ND[rows], self.labels_ND[columns]
        total = np.zeros((len(rows), len(columns)), dtype=np.float32)
        classes = np.zeros_like(total)
        for label in np.unique(self.labels_ND):
            if label == 255:
                continue
            is_first, is_second = first_ND == label, second_ND == label
            in_first, in_second = is_first.any(axis=1), is_second.any(axis=1)
            classes += in_first[:, None] | in_second
            # Masks without the class add nothing: the products are of those that have it.
            has_first, has_second = np.flatnonzero(in_first), np.flatnonzero(in_second)
            a, b = is_first[has_first].astype(np.float32), is_second[has_second].astype(np.float32)
            both = a @ b.T
            total[np.ix_(has_first, has_second)] += both / (a.sum(axis=1)[:, None] + b.sum(axis=1) - both)
        mean = total / np.maximum(classes, 1)
        return mean, mean >= NEAR_MASKS


def near_groups(thumbnails: Thumbnails | MaskThumbnails, count: int) -> list[list[int]]:
    """Groups of two or more of the `count` images, linked by nearness: of a slow video, all frames of a scene.

    Ascending indices, the largest group first. Compares all pairs, a block at a time.
    """
    group_N = np.arange(count)
    for start in range(0, count, BLOCK):
        rows, columns = np.arange(start, min(start + BLOCK, count)), np.arange(start, count)
        first, second = np.nonzero(thumbnails.compare(rows, columns)[1])
        links = coo_array((np.ones(len(first)), (group_N[first + start], group_N[second + start])), (count, count))
        group_N = connected_components(links, directed=False)[1][group_N]
    return _members(group_N.tolist())


def near_across(thumbnails: Thumbnails, first: np.ndarray, second: np.ndarray) -> tuple[list[Pair], np.ndarray]:
    """For each image of `second` with a near one in `first`: (its nearest, itself, correlation), nearest pairs first.

    `first` and `second` are indices. Also returns those of `first` that are near to any of `second`.
    """
    pairs: list[Pair] = []
    touched = np.zeros(len(first), dtype=bool)
    for start in range(0, len(second), BLOCK):
        rows = second[start : start + BLOCK]
        similarity, near = thumbnails.compare(rows, first)
        touched |= near.any(axis=0)
        best = np.where(near, similarity, -1).argmax(axis=1)
        pairs += [
            (int(first[best[row]]), int(rows[row]), float(similarity[row, best[row]]))
            for row in np.flatnonzero(near.any(axis=1))
        ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[1])), first[touched]


def contaminated(masks: Sequence[str | None], thumbnails: Thumbnails) -> list[int]:
    """Indices of images that carry the same mask as an image unlike them.

    `masks` are digests of the masks, None for a mask of one class, which images may well share.
    """
    groups = _members([f"alone {index}" if mask is None else mask for index, mask in enumerate(masks)])
    found = []
    for members in groups:
        array = np.array(members)
        for start in range(0, len(members), BLOCK):
            rows = array[start : start + BLOCK]
            # A flat image is like nothing, itself included; the others of its group decide alike.
            others = rows[:, None] != array
            found += rows[(~thumbnails.compare(rows, array)[1] & others).any(axis=1)].tolist()
    return sorted(found)


def same_groups(digests: Sequence[str]) -> list[list[int]]:
    """Groups of two or more with the same digest, the largest first."""
    return _members(list(digests))


def _members(keys: Sequence[object]) -> list[list[int]]:
    members: dict[object, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        members[key].append(index)
    return sorted((group for group in members.values() if len(group) > 1), key=lambda group: (-len(group), group))


def _unit(vectors_ND: np.ndarray) -> np.ndarray:
    norms_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return np.asarray(vectors_ND / np.maximum(norms_N1, np.finfo(np.float32).tiny), dtype=np.float32)


def thumbnails_of(images_NHWC: np.ndarray) -> np.ndarray:
    """Grey levels float32 [N, 32 * 32]."""
    return np.stack([thumbnail(np.asarray(image_HWC)) for image_HWC in images_NHWC])
