"""How often the 95 % interval of mIoU holds the population's mIoU, in simulation."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Comparison
from benchmarks.population import CLASSES, CORRELATION, SHOWN_K, draw, population_iou
from studies.promotion.intervals import (
    LEAST_IMAGES,
    ImageCounts,
    Interval,
    groups_of_classes,
    iou_intervals,
    miou_interval,
    resampled_miou,
)
from studies.promotion.resampling import LEAST_GROUPS, Resampling, plan_resampling

REPEATS, RESAMPLES = 1000, 400
LEAST, MOST = 0.93, 0.97
OURS, GROUPS, IMAGES = "ours", "percentiles, bootstrap of groups", "percentiles, bootstrap of images"


@dataclass(frozen=True)
class Case:
    """Sequences of `shortest` to `longest` images; `inside`: every class in at least 25 images and 10 groups."""

    name: str
    sequences: int
    shortest: int
    longest: int
    inside: bool = True
    frames: bool = False
    shown_K: tuple[float, ...] = SHOWN_K


RARE_K = (*SHOWN_K[:-1], 0.1)
CASES = (
    Case("12 sequences of 5 to 15 images", 12, 5, 15),
    Case("20 sequences of 5 to 15 images", 20, 5, 15),
    Case("40 sequences of 3 to 9 images", 40, 3, 9),
    Case("60 sequences of 3 to 9 images", 60, 3, 9),
    Case("20 sequences of 5 to 15, one class in a tenth of the images", 20, 5, 15, inside=False, shown_K=RARE_K),
    Case("10 sequences of 2 to 4 images, any classes", 10, 2, 4, inside=False),
    Case("5 sequences of 40 images", 5, 40, 40, inside=False),
    Case("3 videos of 150 frames, neighbours correlated", 3, 150, 150, inside=False, frames=True),
    Case("5 videos of 400 frames, neighbours correlated", 5, 400, 400, inside=False, frames=True),
)


def compare(repeats: int = REPEATS, cases: tuple[Case, ...] = CASES) -> Comparison:
    """Coverage of each case; the claim is about those inside."""
    found = {case: cover(case, repeats) for case in cases}
    inside = [found[case][OURS] for case in cases if case.inside]
    others = [found[case][IMAGES] for case in cases if case.inside]
    rows = [
        f"| {case.name} | {'inside' if case.inside else 'outside'} | "
        + " | ".join(f"{100 * share:.1f}" for share in (of[OURS], of[GROUPS], of[IMAGES], of["least class"]))
        + f" | {of['width']:.4f} |"
        for case, of in found.items()
    ]
    return Comparison(
        theme="coverage",
        what="Share of 95 % intervals that hold the population's mIoU, peer: a bootstrap of images",
        unit="covered",
        ours=tuple(inside),
        peer=tuple(others),
        claim=f"{LEAST:.0%} to {MOST:.0%} where every class is in {LEAST_IMAGES} images and {LEAST_GROUPS} groups",
        holds=all(LEAST <= share <= MOST for share in inside),
        packages=("numpy", "scipy"),
        details={case.name: {"inside": case.inside, **of} for case, of in found.items()},
        notes=(
            f"{repeats} repetitions of each case; {CLASSES} classes, images of a sequence correlated {CORRELATION:g}",
            "(benchmarks/population.py). Pairs below are the cases inside the regime that the claim names, in order.",
            "Ours: Student's interval on the logit scale; from ten groups on by the jackknife over whole groups, with",
            "as many degrees of freedom as groups have the rarest class, less one; under ten by the bootstrap of",
            "moving blocks, which is labelled as conditional on these sequences and does not claim to cover the",
            "population. Covered in %, with that of the class whose own interval covers least, and ours' mean width.",
            "",
            "| case | regime | ours | group percentiles | image percentiles | least class | width |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ),
    )


def cover(case: Case, repeats: int, seed: int = 1) -> Mapping[str, float]:
    """Share of repetitions that each interval covers, that of the class which covers least, and the width of ours."""
    rng = np.random.default_rng(seed)
    true_K = population_iou(case.shown_K)
    covered: dict[str, int] = {OURS: 0, GROUPS: 0, IMAGES: 0}
    width, done, classes_K, present_K = 0.0, 0, np.zeros(CLASSES), np.zeros(CLASSES)
    while done < repeats:
        lengths = rng.integers(case.shortest, case.longest + 1, case.sequences)
        counts = draw(rng, lengths, shown_K=case.shown_K, frames=case.frames)
        names = np.repeat(np.arange(case.sequences), lengths).astype(str).tolist()
        plan = plan_resampling(names, counts.influence_N, RESAMPLES, seed=done)
        assert plan is not None
        if case.inside and not _inside(counts, plan):
            continue
        done += 1
        # A class that no image shows is not in the mean, and the truth is the mean of the same classes.
        true = float(true_K[counts.counted_K].mean())
        found = miou_interval(counts, plan)
        covered[OURS] += found.low <= true <= found.high
        width += found.high - found.low
        covered[GROUPS] += _percentiles_cover(counts, plan.group_N, true, rng)
        covered[IMAGES] += _percentiles_cover(counts, np.arange(len(names)), true, rng)
        for k, of in enumerate(iou_intervals(counts, plan)):
            classes_K[k] += _holds(of, true_K[k])
            present_K[k] += of is not None
    shares = {name: count / repeats for name, count in covered.items()}
    return shares | {"least class": float((classes_K / present_K).min()), "width": width / repeats}


def _inside(counts: ImageCounts, plan: Resampling) -> bool:
    in_groups = groups_of_classes(counts, plan)
    return bool((counts.images_K >= LEAST_IMAGES).all() and (in_groups >= LEAST_GROUPS).all())


def _holds(interval: Interval | None, true: float) -> bool:
    return interval is not None and interval.low <= true <= interval.high


def _percentiles_cover(counts: ImageCounts, unit_N: NDArray[np.int64], true: float, rng: np.random.Generator) -> bool:
    """Whether the percentiles of a bootstrap that draws as many units as there are hold the truth."""
    units = int(unit_N.max()) + 1
    weights_BU = rng.multinomial(units, np.full(units, 1 / units), RESAMPLES).astype(np.float64)
    drawn = resampled_miou(counts, Resampling(unit_N, unit_N, weights_BU, units, None, units - 1, 1.0))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return bool(low <= true <= high)
