"""Confusion matrices per image whose classes come and go, for the statistics of promotions."""

import numpy as np
from numpy.typing import NDArray


def confusions(rng: np.random.Generator, images: int, classes: int = 4) -> NDArray[np.int64]:
    """int64 [N, K, K], rows target: the first class is in every image, the last in few."""
    counts = rng.integers(0, 40, (images, classes, classes))
    right = rng.integers(60, 200, (images, classes))
    counts[:, np.arange(classes), np.arange(classes)] = right
    absent = rng.random((images, classes)) < np.linspace(0, 0.7, classes)
    counts[absent] = 0
    return counts.astype(np.int64)


def plain_miou(counts_KK: NDArray[np.int64], classes: list[int]) -> float:
    """mIoU over `classes` with loops alone."""
    total = 0.0
    for k in classes:
        hits = int(counts_KK[k][k])
        union = sum(int(counts_KK[k][j]) for j in range(len(counts_KK)))
        union += sum(int(counts_KK[j][k]) for j in range(len(counts_KK))) - hits
        total += hits / union
    return total / len(classes)
