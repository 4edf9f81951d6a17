"""The choice between finalists against hand computation: pooled variance, Satterthwaite, Holm, the margin's bound."""

import math

import numpy as np
import pytest
from scipy.stats import t as student_t
from scipy.stats import ttest_ind

from studies.promotion.choice import choose, compare_finalists, holm, two_sided
from studies.promotion.intervals import ImageCounts, resampled_miou
from studies.promotion.resampling import plan_resampling
from tests.studies.promotion.images import confusions

SCORES_FS = np.array([[0.50, 0.52, 0.54], [0.49, 0.50, 0.51], [0.40, 0.44, 0.42]])


def still(finalists: int, resamples: int = 5) -> np.ndarray:
    """Resampled means without any spread: only seeds vary."""
    return np.zeros((finalists, resamples))


def test_holm_by_hand() -> None:
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 -> 0.06 again, 0.5 * 1.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_without_variance_of_images_two_finalists_are_students_t_test() -> None:
    found = choose(SCORES_FS[:2], still(2), 11, [1.0, 1.0], 0.005)
    (pair,) = found.pairs
    assert pair.p == pytest.approx(ttest_ind(SCORES_FS[0], SCORES_FS[1]).pvalue, rel=1e-9)
    assert (found.winner, found.seed_df, pair.df) == (0, 4, pytest.approx(4))


def test_variances_of_seeds_and_images_add_up_with_satterthwaites_degrees() -> None:
    resampled_FB = np.array([[0.00, 0.02, 0.04, 0.02], [0.01, 0.01, 0.01, 0.01], [0.0, 0.0, 0.0, 0.0]])
    found = choose(SCORES_FS, resampled_FB, 11, [1.0, 1.0, 1.0], 0.005)
    pair = next(pair for pair in found.pairs if (pair.first, pair.second) == (0, 1))
    seeds = 2 * np.mean([0.0004, 0.0001, 0.0004]) / 3
    images = 0.0008 / 3
    assert pair.se == pytest.approx(math.sqrt(seeds + images))
    assert pair.df == pytest.approx((seeds + images) ** 2 / (seeds**2 / 6 + images**2 / 11))
    assert pair.p == pytest.approx(2 * (1 - student_t.cdf(pair.difference / pair.se, pair.df)), rel=1e-6)
    assert [one.p_holm for one in found.pairs] == holm([one.p for one in found.pairs])
    assert found.seed_sd == pytest.approx(math.sqrt(0.0003))
    low, high = found.intervals_F[1]
    assert (low + high) / 2 == pytest.approx(0.5)
    assert high - low == pytest.approx(2 * student_t.ppf(0.975, 6) * math.sqrt(0.0001))


def test_the_highest_mean_wins_even_where_another_has_the_best_single_value() -> None:
    scores_FS = np.array([[0.50, 0.50, 0.60], [0.55, 0.55, 0.55]])
    assert choose(scores_FS, still(2), 11, [1.0, 9.0], 0.005).winner == 1


@pytest.mark.parametrize(("margin", "as_good"), [(0.1, (1,)), (0.02, ())])
def test_a_cheaper_finalist_is_as_good_only_where_its_bound_is_within_the_margin(
    margin: float, as_good: tuple[int, ...]
) -> None:
    found = choose(SCORES_FS[:2], still(2), 11, [10.0, 5.0], margin)
    se = math.sqrt(2 * 0.00025 / 3)
    assert found.bounds == {1: pytest.approx(0.02 + student_t.ppf(0.95, 4) * se)}
    assert found.as_good == as_good
    # Not shown to differ is not shown to be as good.
    assert found.pairs[0].p > 0.05


def test_bounds_are_corrected_for_the_number_of_cheaper_finalists_and_dearer_ones_have_none() -> None:
    scores_FS = np.array([[0.50, 0.52], [0.50, 0.51], [0.50, 0.51], [0.40, 0.41]])
    found = choose(scores_FS, still(4), 11, [10.0, 5.0, 6.0, 9.5], 0.5)
    se = math.sqrt(2 * np.mean([0.0002, 0.00005, 0.00005, 0.00005]) / 2)
    assert set(found.bounds) == {1, 2}
    assert found.bounds[1] == pytest.approx(0.005 + student_t.ppf(0.975, 4) * se)


def test_finalists_are_compared_on_the_same_resamples() -> None:
    groups = [str(index // 2) for index in range(30)]
    same = confusions(np.random.default_rng(1), 30)
    better = same.copy()
    better[:, [0, 1, 2, 3], [0, 1, 2, 3]] += 5 * (same.sum(axis=2) > 0)
    replicates = [[ImageCounts.of(counts)] * 2 for counts in (same, better)]
    plan = plan_resampling(groups, replicates[0][0].influence_N)
    assert plan is not None
    found = compare_finalists(replicates, plan, [1.0, 1.0], 0.005)
    difference = resampled_miou(replicates[1][0], plan) - resampled_miou(replicates[0][0], plan)
    assert found.winner == 1
    assert found.pairs[0].se == pytest.approx(plan.factor * difference.std(ddof=1))
    # Each alone moves far more with the images than their difference does.
    assert found.pairs[0].se < 0.2 * plan.factor * resampled_miou(replicates[0][0], plan).std(ddof=1)


def test_without_any_spread_a_difference_is_certain() -> None:
    assert two_sided(0.0, 0.0, 3) == 1.0
    assert two_sided(0.1, 0.0, 3) == 0.0
