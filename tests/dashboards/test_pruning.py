"""Pruning: correlations against scipy, savings and regret against figures worked out by hand."""

import numpy as np
import pytest
from optuna.trial import TrialState
from scipy.stats import spearmanr

from dashboards.figures.pruning import draw_pruning, pruning_table, regret_words, saved_words, spearman
from tests.dashboards.studies import Builder


def test_rank_correlation_is_scipys_ties_included() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        first, second = generator.integers(0, 6, (2, 9)).astype(float)
        assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None


def test_each_epoch_is_compared_with_the_last_one(builder: Builder) -> None:
    for first, last, audit in (
        (0.1, 0.5, True),
        (0.2, 0.6, True),
        (0.3, 0.7, False),
        (0.4, 0.4, True),
        (0.5, 0.9, True),
    ):
        builder.trial([first, last], TrialState.COMPLETE, "finished", audit=audit)
    builder.trial([0.05], TrialState.PRUNED, "pruned")
    builder.trial([0.05], TrialState.PRUNED, "diverged")
    one, two = pruning_table(builder.read())
    assert (one["trials"], one["pruned"], one["complete"], one["unpruned"]) == (7, 1, 5, 4)
    assert one["correlation, complete"] == pytest.approx(spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 4, 9]).statistic)
    assert one["correlation, unpruned tenth"] == pytest.approx(spearmanr([1, 2, 4, 5], [5, 6, 4, 9]).statistic)
    assert (two["trials"], two["pruned"], two["correlation, complete"]) == (5, 0, pytest.approx(1.0))


def test_what_was_saved_counts_epochs_the_pruner_spared(builder: Builder) -> None:
    builder.trial(6, TrialState.COMPLETE, "finished")
    builder.trial(2, TrialState.PRUNED, "pruned")
    builder.trial(1, TrialState.PRUNED, "pruned")
    builder.trial(1, TrialState.PRUNED, "diverged")
    # 4 + 5 spared, 6 + 2 + 1 + 1 run.
    words = "The pruner ended 2 trials and saved 9 epochs, 47% of what all would have taken with 6 epochs each."
    assert saved_words(builder.read()) == words


def test_regret_is_what_the_unpruned_tenth_would_have_lost(builder: Builder) -> None:
    assert regret_words(builder.read()).startswith("No trial of the unpruned tenth is complete")
    builder.trial([0.5, 0.6], TrialState.COMPLETE, "finished", audit=True)
    assert regret_words(builder.read()).endswith("would have ended 0: no regret seen.")
    builder.trial([0.1, 0.75], TrialState.COMPLETE, "finished", audit=True, would_prune_at=1)
    builder.trial([0.9, 0.95], TrialState.COMPLETE, "finished")
    words = regret_words(builder.read())
    assert "Of 2 complete trials of the unpruned tenth the pruner would have ended 1; regret 0.1500" in words
    assert words in draw_pruning(builder.read()).layout.meta["missing"]
    builder.trial([0.1], TrialState.PRUNED, "pruned")
    assert words in draw_pruning(builder.read()).layout.meta["notes"]


def test_with_one_complete_trial_nothing_is_correlated(builder: Builder) -> None:
    builder.trial([0.5, 0.6], TrialState.COMPLETE, "finished")
    figure = draw_pruning(builder.read())
    assert figure.layout.meta["missing"].startswith("The pruner ended no trial. No trial of the unpruned tenth")
    assert figure.layout.meta["missing"].endswith("Correlations take 4 complete trials.")
