"""Resampling and intervals against plain loops, the data set's own mIoU and hand-worked cases."""

import math

import numpy as np
import pytest
from scipy.stats import t as student_t

from studies.promotion.intervals import (
    ImageCounts,
    interval_of,
    iou_intervals,
    miou_df,
    miou_interval,
    resampled_iou,
    resampled_miou,
)
from studies.promotion.resampling import block_length, plan_resampling
from tests.studies.promotion.images import confusions, plain_miou
from trainables.metrics import iou_K, miou_of

GROUPS = [f"g{index // 3}" for index in range(36)]


@pytest.fixture
def counts_NKK() -> np.ndarray:
    return confusions(np.random.default_rng(3), 36)


def test_matrices_per_image_give_the_mious_of_the_data_set(counts_NKK: np.ndarray) -> None:
    whole_KK = counts_NKK.sum(axis=0)
    assert ImageCounts.of(counts_NKK).miou == pytest.approx(miou_of(whole_KK), abs=1e-15)
    assert ImageCounts.of(counts_NKK, [1]).miou == pytest.approx(miou_of(whole_KK, [1]), abs=1e-15)
    np.testing.assert_allclose(ImageCounts.of(counts_NKK).iou_K, iou_K(whole_KK), atol=1e-15)


def test_a_class_without_targets_is_in_no_mean(counts_NKK: np.ndarray) -> None:
    counts_NKK[:, 2, :] = 0
    counts = ImageCounts.of(counts_NKK)
    assert counts.counted_K.tolist() == [True, True, False, True]
    assert counts.miou == pytest.approx(plain_miou(counts_NKK.sum(axis=0), [0, 1, 3]), abs=1e-15)
    plan = plan_resampling(GROUPS, counts.influence_N)
    assert plan is not None
    assert iou_intervals(counts, plan)[2] is None


def test_leaving_groups_out_against_a_plain_loop(counts_NKK: np.ndarray) -> None:
    counts = ImageCounts.of(counts_NKK)
    plan = plan_resampling(GROUPS, counts.influence_N)
    assert plan is not None
    assert (plan.groups, plan.block, plan.conditional, plan.words) == (12, None, False, "jackknife of 12 whole groups")
    values = []
    for group in sorted(set(GROUPS)):
        kept = [index for index, other in enumerate(GROUPS) if other != group]
        values.append(plain_miou(counts_NKK[kept].sum(axis=0), [0, 1, 2, 3]))
    np.testing.assert_allclose(sorted(resampled_miou(counts, plan)), sorted(values), atol=1e-12)
    mean = math.fsum(values) / 12
    se = math.sqrt(11 / 12 * math.fsum((value - mean) ** 2 for value in values))
    found = miou_interval(counts, plan)
    assert found.se == pytest.approx(se, rel=1e-9)
    # Class 3 is in the fewest groups, but nine degrees of freedom are there with ten groups.
    df = max(9, min(len({GROUPS[n] for n in np.flatnonzero(counts.targets_NK[:, k])}) for k in range(4)) - 1)
    assert miou_df(counts, plan) == df
    half = student_t.ppf(0.975, df) * se / (counts.miou * (1 - counts.miou))
    logit = math.log(counts.miou / (1 - counts.miou))
    assert found.low == pytest.approx(1 / (1 + math.exp(half - logit)), rel=1e-9)
    assert found.high == pytest.approx(1 / (1 + math.exp(-half - logit)), rel=1e-9)


def test_moving_blocks_against_a_plain_loop() -> None:
    counts_NKK = confusions(np.random.default_rng(4), 60)
    groups = ["a"] * 40 + ["b"] * 20
    counts = ImageCounts.of(counts_NKK)
    # Scores that hang on from one image to the next ask for blocks.
    plan = plan_resampling(groups, np.repeat(np.random.default_rng(0).standard_normal(12), 5), resamples=50, seed=9)
    assert plan is not None
    assert plan.block is not None
    assert plan.conditional
    assert plan.words.endswith("within these 2 groups, conditional on them")
    assert plan.df == 40 // plan.block + 20 // plan.block - 2
    rng = np.random.default_rng(9)
    drawn = []
    for first, count in ((0, 40), (40, 20)):
        starts = rng.integers(0, count - plan.block + 1, (50, -(-count // plan.block), 1))[:, :, 0]
        drawn.append([[first + start + step for start in row for step in range(plan.block)][:count] for row in starts])
    for resample, (of_a, of_b) in enumerate(zip(*drawn, strict=True)):
        taken = of_a + of_b
        assert plan.weights_BU[resample].tolist() == [taken.count(index) for index in range(60)]
        miou = plain_miou(sum(counts_NKK[index] for index in taken), [0, 1, 2, 3])
        assert resampled_miou(counts, plan)[resample] == pytest.approx(miou, abs=1e-12)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    """Images of equal unions make IoU a mean: then the jackknife's error is the textbook's."""
    rng = np.random.default_rng(0)
    hits = rng.integers(10, 90, 25)
    counts_NKK = np.zeros((25, 2, 2), dtype=np.int64)
    counts_NKK[:, 0, 0], counts_NKK[:, 0, 1] = hits, 100 - hits
    counts = ImageCounts.of(counts_NKK)
    plan = plan_resampling([str(index) for index in range(25)], counts.influence_N)
    assert plan is not None
    assert miou_interval(counts, plan).se == pytest.approx((hits / 100).std(ddof=1) / 5, rel=1e-9)


def test_a_class_that_a_resample_lacks_keeps_its_iou(counts_NKK: np.ndarray) -> None:
    counts_NKK[3:, 3, :] = 0
    counts_NKK[0, 3, 3] = 50
    counts = ImageCounts.of(counts_NKK)
    plan = plan_resampling(GROUPS, counts.influence_N)
    assert plan is not None
    assert (resampled_iou(counts, plan)[0, 3], counts.iou_K[3]) == (counts.iou_K[3], counts.iou_K[3])
    assert np.isfinite(resampled_miou(counts, plan)).all()


def test_groups_too_few_and_too_short_for_blocks() -> None:
    plan = plan_resampling(["a", "b", "c"], np.array([0.1, 0.2, 0.3]))
    assert plan is not None
    assert (plan.words, plan.df) == ("jackknife of these 3 groups, conditional on them", 2)
    assert plan_resampling(["a"], np.array([0.1])) is None


def test_blocks_grow_with_correlation_and_stay_below_a_quarter() -> None:
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(400)
    walk = np.zeros(400)
    for index in range(1, 400):
        walk[index] = 0.9 * walk[index - 1] + noise[index]
    assert block_length([noise]) <= 3
    # (2 r / (1 - r^2))^(2/3) n^(1/3) with r = 0.9 is 33.
    assert 20 <= block_length([walk]) <= 50
    assert block_length([np.arange(12.0)]) == 3


def test_an_interval_stays_between_0_and_1() -> None:
    wide = interval_of(0.97, np.array([0.5, 0.97, 1.0, 0.8]), 1.0, 1)
    assert 0 <= wide.low < 0.97 < wide.high <= 1
    assert interval_of(1.0, np.array([1.0, 1.0]), 1.0, 3).low == 1.0
