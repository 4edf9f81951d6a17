"""Interactions against a forest's own predictions over a whole grid, Optuna's single shares and known functions."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from sklearn.ensemble import RandomForestRegressor

from dashboards import second_order as module
from dashboards.evaluators import fanova
from dashboards.figures.importance import importance_of
from dashboards.figures.interactions import MOST_PARAMETERS, draw_interactions, interactions_table
from dashboards.parameters import parameter_axes
from dashboards.second_order import SecondOrder, second_order
from search.records.study import StudyRecord, TrialRecord
from tests.dashboards.studies import FACTS, Builder

UNIT, SIGNED, RATE = FloatDistribution(0, 1), FloatDistribution(-1, 1), FloatDistribution(1e-4, 1e-1, log=True)
TWO, THREE = CategoricalDistribution(["a", "b"]), CategoricalDistribution(["x", "y", "z"])
SINGLES = (("parameter", "the first alone"), ("and", "the second alone"))
Value = Callable[[dict[str, Any]], float]


def study_of(count: int, space: dict[str, BaseDistribution], value: Value, noise: float = 0.0) -> StudyRecord:
    """Random trials of one epoch, all complete, their parameters from the space."""
    generator = np.random.default_rng(0)
    trials = []
    for number in range(count):
        params = {path: _drawn(one, generator) for path, one in space.items()}
        score = value(params) + noise * float(generator.standard_normal())
        trials.append(
            TrialRecord(
                number=number, state="COMPLETE", reason="finished", params=params, distributions=dict(space),
                value=score, values={1: score}, best_epoch=1, audit=False, violated=False,
                started_s=None, ended_s=None, attrs={}, folder=Path(),
            )
        )  # fmt: skip
    return StudyRecord("known", True, "validation mIoU", {}, FACTS, tuple(trials))


def _drawn(one: BaseDistribution, generator: np.random.Generator) -> Any:
    if isinstance(one, CategoricalDistribution):
        return one.choices[generator.integers(len(one.choices))]
    assert isinstance(one, FloatDistribution)
    if one.log:
        return float(10 ** generator.uniform(np.log10(one.low), np.log10(one.high)))
    return float(generator.uniform(one.low, one.high))


def computed(study: StudyRecord, trees: int) -> SecondOrder:
    values = [trial.values[1] for trial in study.trials]
    found = second_order(study.trials, values, list(parameter_axes(study).values()), trees=trees, seed=0)
    assert found is not None
    return found


def shares(rows: list[dict[str, Any]]) -> dict[frozenset[str], float]:
    return {frozenset((row["parameter"], row["and"])): row["together"] for row in rows}


@pytest.fixture
def few_shuffles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHUFFLES", 2)
    monkeypatch.setattr(module, "SHUFFLED_TREES", 2)


def test_single_shares_are_those_of_optunas_fanova_on_the_same_forest() -> None:
    space: dict[str, BaseDistribution] = {"wd": UNIT, "lr": RATE, "drop": SIGNED}
    study = study_of(30, space, lambda one: np.log10(one["lr"]) * one["wd"] + one["drop"], noise=0.1)
    found = computed(study, trees=16)
    values = [trial.values[1] for trial in study.trials]
    single = fanova(study.trials, values, list(parameter_axes(study).values()), trees=16, seed=0)
    assert dict(zip(found.paths, np.diag(found.shares), strict=True)) == pytest.approx(single)


def test_every_tree_agrees_with_its_predictions_over_the_whole_space() -> None:
    space: dict[str, BaseDistribution] = {"lr": UNIT, "drop": SIGNED, "set": THREE, "wd": UNIT}
    study = study_of(
        24, space, lambda one: one["lr"] * (one["set"] == "y") + one["drop"] ** 2 * (one["set"] != "z") + one["wd"]
    )
    found = computed(study, trees=5)
    assert found.paths == ("drop", "lr", "set", "wd")

    def encoded(drop: float, lr: float, chosen: str, wd: float) -> list[float]:
        return [drop, lr, *(float(chosen == choice) for choice in THREE.choices), wd]

    inputs = [encoded(*(trial.params[path] for path in found.paths)) for trial in study.trials]
    forest = RandomForestRegressor(5, random_state=0).fit(inputs, [trial.values[1] for trial in study.trials])
    for tree, by_tree in zip(forest.estimators_, found.by_tree, strict=True):
        # Between two thresholds a tree is constant: one point of each cell tells all, the cell's size is its weight.
        edges = [
            np.unique([low, *tree.tree_.threshold[tree.tree_.feature == column], high])
            for column, low, high in ((0, -1, 1), (1, 0, 1), (5, 0, 1))
        ]
        drop, lr, wd = [(one[1:] + one[:-1]) / 2 for one in edges]
        grid = [encoded(a, b, c, d) for a in drop for b in lr for c in THREE.choices for d in wd]
        predicted = tree.predict(grid).reshape(len(drop), len(lr), 3, len(wd))
        sizes = [np.diff(one) / (one[-1] - one[0]) for one in edges]
        weights = [sizes[0], sizes[1], np.full(3, 1 / 3), sizes[2]]
        total = explained(predicted, weights, {0, 1, 2, 3})
        alone = [explained(predicted, weights, {one}) / total for one in range(4)]
        assert np.diag(by_tree) == pytest.approx(alone)
        for one, other in combinations(range(4), 2):
            together = explained(predicted, weights, {one, other}) / total - alone[one] - alone[other]
            assert [by_tree[one, other], by_tree[other, one]] == pytest.approx([together] * 2, abs=1e-9)


def explained(values: NDArray[np.float64], weights: list[NDArray[np.float64]], kept: set[int]) -> float:
    """The variance of the mean over all axes but those kept."""
    for axis in range(values.ndim):
        if axis not in kept:
            shape = [-1 if one == axis else 1 for one in range(values.ndim)]
            values = (values * weights[axis].reshape(shape)).sum(axis=axis, keepdims=True)
    size = np.ones(())
    for axis in range(values.ndim):
        size = np.multiply.outer(size, weights[axis] if axis in kept else np.ones(1))
    return float((size * (values - (size * values).sum()) ** 2).sum())


def test_where_two_choices_must_differ_the_interaction_is_everything() -> None:
    study = study_of(40, {"a": TWO, "b": TWO}, lambda one: float(one["a"] != one["b"]))
    figure = draw_interactions(study)
    (share,) = figure.data[0].z
    assert share == pytest.approx(1.0, abs=0.05)
    notes = figure.layout.meta["notes"]
    assert notes[0] == f"Strongest: a with b, {share:.0%} beyond what each explains alone."
    assert notes[-1].startswith("Only choices that exist count")


def test_a_product_is_found_among_others_and_nothing_else() -> None:
    space: dict[str, BaseDistribution] = {"p": UNIT, "q": UNIT, "r": UNIT, "s": TWO}
    study = study_of(60, space, lambda one: one["p"] * one["q"] + 0.3 * one["r"], noise=0.02)
    rows = interactions_table(study)
    assert (rows[0]["parameter"], rows[0]["and"]) == ("p", "q")
    assert [row["together"] > row["without interactions"] for row in rows] == [True, *[False] * 5]
    assert rows[0]["5 %"] <= rows[0]["together"] <= rows[0]["95 %"]


def test_of_an_additive_function_nothing_beyond_single_parameters_is_visible() -> None:
    space: dict[str, BaseDistribution] = {"p": UNIT, "q": UNIT, "set": THREE, "two": TWO}
    study = study_of(
        60, space, lambda one: one["p"] + 0.5 * one["q"] + (one["set"] == "y") + (one["two"] == "b"), noise=0.05
    )
    figure = draw_interactions(study)
    assert max(figure.data[0].z) < 0.05
    assert figure.layout.meta["notes"][0].startswith("Nothing beyond single parameters is visible: the strongest pair")
    assert figure.layout.meta["notes"][2].endswith("above it (bold): 0 of 6 pairs.")
    assert not any("<b>" in text for text in figure.data[0].text)


@pytest.mark.usefixtures("few_shuffles")
def test_choices_that_are_additive_do_not_interact() -> None:
    # Taken as numbers, the columns of these choices had 8 % together.
    space: dict[str, BaseDistribution] = {"set": THREE, "two": TWO, "p": UNIT}
    study = study_of(60, space, lambda one: (one["set"] == "y") + 0.8 * (one["two"] == "b") + one["p"])
    assert shares(interactions_table(study))[frozenset(("set", "two"))] < 0.01


@pytest.mark.usefixtures("few_shuffles")
def test_the_figure_has_the_tables_shares_below_the_diagonal_and_names_on_it(builder: Builder) -> None:
    for _ in range(14):
        builder.trial(6, TrialState.COMPLETE, "finished")
    study = builder.read()
    figure, rows = draw_interactions(study), interactions_table(study)
    (pairs,) = figure.data
    labels = [label.replace("<br>", "") for label in figure.layout.yaxis.ticktext]
    assert set(labels) == {"augment.set", "model.depth", "optimizer.lr"}
    assert labels[0] == next(iter(importance_of(study).shares)) == "optimizer.lr"
    drawn = {frozenset((labels[x], labels[y])): z for x, y, z in zip(pairs.x, pairs.y, pairs.z, strict=True)}
    assert drawn == shares(rows)
    assert all(x < y for x, y in zip(pairs.x, pairs.y, strict=True))
    alone = {row[path]: row[share] for row in rows for path, share in SINGLES}
    assert [one.text.replace("<br>", "") for one in figure.layout.annotations] == [
        f"{path} · {alone[path]:.0%}" for path in labels
    ]
    meta = figure.layout.meta
    assert meta["subtitle"] == "14 trials (14 complete) · validation mIoU · validation split (32 images) at epoch 6"
    assert "Warning: 14 trials are few; under 50 a forest misses most interactions." in meta["notes"]
    assert "Not in every trial, or with one value only: augment.strength." in meta["notes"]
    assert all(f"<b>{rows[0][one]}</b>" in pairs.hovertext[0] for one in ("parameter", "and"))


@pytest.mark.usefixtures("few_shuffles")
def test_ten_parameters_are_drawn_and_all_are_in_the_table() -> None:
    space: dict[str, BaseDistribution] = {f"p{index:02d}": UNIT for index in range(12)}
    study = study_of(12, space, lambda one: one["p11"])
    figure = draw_interactions(study)
    assert len(figure.layout.yaxis.ticktext) == MOST_PARAMETERS
    assert figure.layout.yaxis.ticktext[0] == "p11"
    assert "The 10 of 12 parameters that explain most; all pairs are in the table." in figure.layout.meta["notes"]
    assert len(interactions_table(study)) == 66


@pytest.mark.parametrize(
    ("count", "space", "why"),
    [
        (9, {"p": UNIT, "q": UNIT}, "9 ended trials with a value: 10 at least are needed."),
        (12, {"p": UNIT}, "It takes two parameters that every trial has, and values that differ."),
        (12, {"p": UNIT, "q": FloatDistribution(1, 1)}, "It takes two parameters that every trial has"),
    ],
)
def test_what_is_missing_is_said(count: int, space: dict[str, BaseDistribution], why: str) -> None:
    study = study_of(count, space, lambda one: one["p"])
    assert draw_interactions(study).layout.meta["missing"].startswith(why)
    assert interactions_table(study) == []


def test_equal_values_have_no_interactions() -> None:
    study = study_of(12, {"p": UNIT, "q": UNIT}, lambda one: 0.5)
    assert draw_interactions(study).layout.meta["missing"].endswith("values that differ.")
