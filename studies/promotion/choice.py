"""The choice between finalists by their expected mIoU over training seeds; torch is not needed here.

Two things make the mean over S seeds of one finalist differ from another's: the seeds, and the images that both were
measured on. The seeds' variance is pooled over the k finalists, s^2 with k (S - 1) degrees of freedom; that of the
images is that of the difference of means in the same resamples. A difference has the variance
2 s^2 / S + v, and Welch's and Satterthwaite's degrees of freedom (Satterthwaite, Biometrics Bulletin 2, 1946). What
seeds and images do together is in both terms, which errs on the careful side.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from studies.promotion.intervals import LEVEL, ImageCounts, miou_df, resampled_miou
from studies.promotion.resampling import Resampling

# A finalist is cheaper where it takes less than this share of the winner's device time: times vary by themselves.
CHEAPER = 0.9


@dataclass(frozen=True)
class Pair:
    """Two finalists by their indices, the one with the higher mean first.

    `difference` of their means is at least 0; `p` is two-sided, `p_holm` corrected for all pairs.
    """

    first: int
    second: int
    difference: float
    se: float
    df: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Choice:
    """The finalist with the highest mean over seeds, what is known of the differences, and cheaper ones as good.

    `means_F` over the seeds with their 95 % intervals, `seed_sd` is pooled. `bounds` are one-sided upper 95 % bounds of
    how much worse than the winner each cheaper finalist is, by index, corrected for their number; `as_good` are those
    within the margin.
    """

    winner: int
    means_F: tuple[float, ...]
    intervals_F: tuple[tuple[float, float], ...]
    seed_sd: float
    seed_df: int
    pairs: tuple[Pair, ...]
    bounds: dict[int, float]
    as_good: tuple[int, ...]


def compare_finalists(
    replicates: Sequence[Sequence[ImageCounts]], plan: Resampling, costs: Sequence[float], margin: float
) -> Choice:
    """Choose between finalists whose replicates, at least two and as many of each, were measured on the same images."""
    scores_FS = np.array([[one.miou for one in of] for of in replicates])
    resampled_FB = np.array([np.mean([resampled_miou(one, plan) for one in of], axis=0) for of in replicates])
    # Only the spread of resampled means is used.
    return choose(scores_FS, plan.factor * resampled_FB, miou_df(replicates[0][0], plan), costs, margin)


def choose(
    scores_FS: NDArray[np.float64],
    resampled_FB: NDArray[np.float64],
    images_df: float,
    costs: Sequence[float],
    margin: float,
) -> Choice:
    """Choose by mIoU [F, S] per finalist and seed and the mean over seeds per resample [F, B]; `costs` in seconds.

    The variance over resamples must be that of the mean.
    """
    finalists, seeds = scores_FS.shape
    means_F = scores_FS.mean(axis=1)
    seed_df = finalists * (seeds - 1)
    seed_variance = float(scores_FS.var(axis=1, ddof=1).mean())
    winner = int(means_F.argmax())

    def spread(resampled_B: NDArray[np.float64], means: int) -> tuple[float, float]:
        """Standard error of a mean, or of a difference of two means, and its degrees of freedom."""
        of_seeds = means * seed_variance / seeds
        of_images = float(resampled_B.var(ddof=1))
        total = of_seeds + of_images
        if not total:
            return 0.0, float(seed_df)
        return math.sqrt(total), total**2 / (of_seeds**2 / seed_df + of_images**2 / images_df)

    found = []
    for one, other in itertools.combinations(range(finalists), 2):
        first, second = (one, other) if means_F[one] >= means_F[other] else (other, one)
        difference = float(means_F[first] - means_F[second])
        se, df = spread(resampled_FB[first] - resampled_FB[second], 2)
        found.append((first, second, difference, se, df, two_sided(difference, se, df)))
    corrected = holm([pair[-1] for pair in found])
    cheaper = [index for index in range(finalists) if costs[index] < CHEAPER * costs[winner]]
    bounds = {}
    for index in cheaper:
        se, df = spread(resampled_FB[winner] - resampled_FB[index], 2)
        level = 1 - (1 - LEVEL) / len(cheaper)
        bounds[index] = float(means_F[winner] - means_F[index] + student_t.ppf(level, df) * se)
    intervals = []
    for mean, resampled_B in zip(means_F.tolist(), resampled_FB, strict=True):
        se, df = spread(resampled_B, 1)
        half = float(student_t.ppf((1 + LEVEL) / 2, df)) * se
        intervals.append((mean - half, mean + half))
    return Choice(
        winner=winner,
        means_F=tuple(means_F.tolist()),
        intervals_F=tuple(intervals),
        seed_sd=math.sqrt(seed_variance),
        seed_df=seed_df,
        pairs=tuple(Pair(*pair, p_holm) for pair, p_holm in zip(found, corrected, strict=True)),
        bounds=bounds,
        as_good=tuple(index for index in cheaper if bounds[index] < margin),
    )


def two_sided(difference: float, se: float, df: float) -> float:
    """Student's two-sided p-value of a difference; without any spread 1 for none and 0 for one."""
    if not se:
        return float(difference == 0)
    return float(2 * student_t.sf(abs(difference) / se, df))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm, Scandinavian Journal of Statistics 6, 1979), in the same order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
