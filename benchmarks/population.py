"""Images of a known population, as what IoU needs of their confusion matrices: classes come and go with the sequence.

Everything that moves an image (which classes it shows, how large they are, how many of their pixels are right) follows
normal variables that are correlated 0.9 within a sequence and independent between sequences.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from scipy.stats import norm

from studies.promotion.intervals import ImageCounts

CORRELATION = 0.9
PIXELS = 100_000
# Of eight classes: log of the usual size, share of images that show it, logit of the usual share of right pixels.
SIZES_K = np.array([2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -1.5])
SHOWN_K = (1.0, 1.0, 1.0, 1.0, 0.9, 0.8, 0.6, 0.5)
RIGHT_K = np.array([3.0, 2.5, 2.0, 1.5, 1.5, 1.0, 0.5, 0.3])
CLASSES = len(SIZES_K)
SPREAD, COMMON_SPREAD = 0.8, 0.5
LARGE = 2_000_000


def draw(
    rng: np.random.Generator,
    lengths: NDArray[np.int64],
    *,
    shown_K: tuple[float, ...] = SHOWN_K,
    frames: bool = False,
) -> ImageCounts:
    """Sequences of these lengths one after the other; with `frames` only neighbours are correlated 0.9."""
    sequence_N = np.repeat(np.arange(len(lengths)), lengths)

    def normal(count: int) -> NDArray[np.float64]:
        if frames:
            return _autoregression(rng, lengths, count)
        of_sequence = rng.standard_normal((len(lengths), count))[sequence_N]
        own = rng.standard_normal((len(sequence_N), count))
        return np.asarray(np.sqrt(CORRELATION) * of_sequence + np.sqrt(1 - CORRELATION) * own)

    shows_NK = normal(CLASSES) <= norm.ppf(shown_K)
    sizes_NK = np.where(shows_NK, np.exp(SIZES_K + SPREAD * normal(CLASSES)), 0)
    targets_NK = PIXELS * sizes_NK / sizes_NK.sum(axis=1, keepdims=True)
    right_NK = expit(RIGHT_K + SPREAD * normal(CLASSES) + COMMON_SPREAD * normal(1))
    hits_NK = targets_NK * right_NK
    # Wrong pixels are predicted as the other classes in proportion to their usual size.
    wrong_KK = softmax(SIZES_K) * (1 - np.eye(CLASSES))
    wrong_KK /= wrong_KK.sum(axis=1, keepdims=True)
    predicted_NK = hits_NK + (targets_NK - hits_NK) @ wrong_KK
    hits, unions, targets = (
        np.rint(of).astype(np.int64) for of in (hits_NK, targets_NK + predicted_NK - hits_NK, targets_NK)
    )
    return ImageCounts(hits, unions, targets, targets.sum(axis=0) > 0)


def population_iou(shown_K: tuple[float, ...] = SHOWN_K) -> NDArray[np.float64]:
    """IoU per class [K] of two million images, each of a sequence of its own."""
    rng = np.random.default_rng(0)
    hits_K, unions_K = np.zeros(CLASSES), np.zeros(CLASSES)
    for _ in range(20):
        part = draw(rng, np.ones(LARGE // 20, dtype=np.int64), shown_K=shown_K)
        hits_K += part.hits_NK.sum(axis=0)
        unions_K += part.unions_NK.sum(axis=0)
    return np.asarray(hits_K / unions_K)


def _autoregression(rng: np.random.Generator, lengths: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    longest = int(lengths.max())
    found = rng.standard_normal((longest, len(lengths), count))
    for frame in range(1, longest):
        found[frame] = CORRELATION * found[frame - 1] + np.sqrt(1 - CORRELATION**2) * found[frame]
    kept = [found[:length, index] for index, length in enumerate(lengths)]
    return np.concatenate(kept)
