"""What is left out where there is too much: never an extreme, and never unsaid."""

import numpy as np
from optuna.trial import TrialState

from dashboards.figures import curves, history, parallel, slice
from dashboards.thinning import spread_by_rank
from tests.dashboards.studies import Builder


def test_quantiles_extremes_and_order_stay() -> None:
    values = np.random.default_rng(0).normal(size=5000).tolist()
    kept = spread_by_rank(values, lambda value: value, 200)
    assert len(kept) == 200
    assert (min(kept), max(kept)) == (min(values), max(values))
    np.testing.assert_allclose(np.quantile(kept, [0.1, 0.5, 0.9]), np.quantile(values, [0.1, 0.5, 0.9]), atol=0.03)
    places = [values.index(value) for value in kept]
    assert places == sorted(places)


def test_few_and_equal_values_are_all_kept() -> None:
    assert spread_by_rank([3.0, 1.0], lambda value: value, 2) == [3.0, 1.0]
    assert len(spread_by_rank([1.0] * 50, lambda value: value, 10)) == 10


def test_figures_keep_best_and_worst_and_say_what_they_left_out(builder: Builder, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    for module in (curves, history, parallel, slice):
        monkeypatch.setattr(module, "MOST_TRIALS", 3)
    for value in (0.5, 0.2, 0.3, 0.9, 0.4):
        builder.trial([value], TrialState.COMPLETE, "finished")
    study = builder.read()
    drawn = [curves.draw_curves(study), parallel.draw_parallel(study), slice.draw_slice(study, "optimizer.lr")]
    for figure in drawn:
        assert "3 of 5 trials, evenly by rank, the best and the worst among them." in figure.layout.meta["notes"]
    points = next(trace for trace in history.draw_history(study).data if trace.mode == "markers")
    assert sorted(points.y) == [0.2, 0.4, 0.9]
    ends = next(trace for trace in drawn[0].data if trace.mode == "markers")
    assert sorted(ends.y) == [0.2, 0.4, 0.9]
    assert sorted(drawn[2].data[0].y) == [0.2, 0.4, 0.9]
