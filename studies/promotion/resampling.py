"""Resampling of a split's images in whole groups, or in moving blocks within sequences, as weights per unit.

Ten groups and more: the jackknife that leaves out one whole group at a time, whose variance errs on the careful side
(Efron and Stein, The Annals of Statistics 9, 1981). Percentiles of a bootstrap of whole groups cover less where a class
is in few of them: benchmarks/coverage.py has both. Fewer groups: the bootstrap of moving blocks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Under this many groups the intervals are conditional on them: nothing is said about groups that were not seen.
LEAST_GROUPS = 10
RESAMPLES = 2000


@dataclass(frozen=True)
class Resampling:
    """B resamples: `weights_BU` says how often each takes each unit, `unit_N` which unit an image belongs to.

    Units are the groups, or single images that are drawn in blocks. A standard error is `factor` times the standard
    deviation over resamples; `df` are its degrees of freedom where every group says something of the quantity.
    """

    group_N: NDArray[np.int64]
    unit_N: NDArray[np.int64]
    weights_BU: NDArray[np.float64]
    groups: int
    block: int | None
    df: int
    factor: float

    @property
    def conditional(self) -> bool:
        """Whether nothing is said about groups that were not seen."""
        return self.groups < LEAST_GROUPS

    @property
    def words(self) -> str:
        """How images were resampled, for a table or a figure."""
        if not self.conditional:
            return f"jackknife of {self.groups} whole groups"
        groups = "this one group" if self.groups == 1 else f"these {self.groups} groups"
        how = "jackknife of" if self.block is None else f"bootstrap of moving blocks of {self.block} images within"
        return f"{how} {groups}, conditional on them"

    def sums(self, counts_NK: NDArray[np.int64]) -> NDArray[np.float64]:
        """Counts per unit [U, K] of counts per image."""
        found = np.zeros((self.weights_BU.shape[1], counts_NK.shape[1]))
        np.add.at(found, self.unit_N, counts_NK)
        return found


def plan_resampling(
    groups: Sequence[str], scores_N: NDArray[np.float64], resamples: int = RESAMPLES, seed: int = 0
) -> Resampling | None:
    """Whole groups where there are ten, else blocks of images in the order of the split within each group.

    `scores_N` are what each image adds to the quantity of interest: their correlation from one image to the next sets
    the length of the blocks. Under ten groups too short for blocks are left out whole; None for a single such group.
    """
    _, group_N = np.unique(np.array(groups), return_inverse=True)
    count = int(group_N.max()) + 1
    members = [np.flatnonzero(group_N == group) for group in range(count)]
    length = block_length([scores_N[of] for of in members])
    blocks = sum(max(1, len(of) // length) for of in members)
    if count >= LEAST_GROUPS or blocks == count:
        if count == 1:
            return None
        left_out_GG = 1 - np.eye(count)
        return Resampling(group_N, group_N, left_out_GG, count, None, count - 1, (count - 1) / math.sqrt(count))
    rng = np.random.default_rng(seed)
    weights_BN = np.zeros((resamples, len(group_N)))
    for of in members:
        weights_BN[:, of] = _blocks(len(of), length, resamples, rng)
    df = blocks - count
    return Resampling(group_N, np.arange(len(group_N)), weights_BN, count, length, df, math.sqrt(blocks / df))


def block_length(scores: Sequence[NDArray[np.float64]]) -> int:
    """Images in a block: (2 r / (1 - r^2))^(2/3) n^(1/3) for sequences of n images with correlation r to the next.

    That is Carlstein's length (The Annals of Statistics 14, 1986) for an autoregression of the first order; at most a
    quarter of the longest sequence, so that blocks can differ.
    """
    centred = [of - of.mean() for of in scores]
    spread = sum(float((of**2).sum()) for of in centred)
    r = sum(float((of[1:] * of[:-1]).sum()) for of in centred) / spread if spread else 0.0
    r = min(max(r, 0.0), 0.99)
    longest = max(len(of) for of in scores)
    wanted: float = (2 * r / (1 - r * r)) ** (2 / 3) * longest ** (1 / 3)
    return max(1, min(math.ceil(wanted), longest // 4))


def _blocks(count: int, length: int, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How often each of `count` images in order is taken [B, count], in blocks at random places."""
    length = min(length, count)
    blocks = -(-count // length)
    starts = rng.integers(0, count - length + 1, (resamples, blocks, 1))
    # The last block is cut where the sequence is as long as it was.
    taken = (starts + np.arange(length)).reshape(resamples, -1)[:, :count]
    offsets = np.arange(resamples)[:, None] * count
    flat = np.bincount((taken + offsets).ravel(), minlength=resamples * count)
    return flat.reshape(resamples, count).astype(np.float64)
