"""What two searched parameters explain together beyond what each explains alone: second-order functional ANOVA.

Hutter et al. 2014, proceedings.mlr.press/v32/hutter14.html. A tree is constant on the boxes of its leaves. With q the
leaves' sizes times their values less the mean, and K of a set of parameters the share of its space in which two leaves
overlap, divided by both leaves' own shares, the variance of the mean over all other parameters is qᵀKq, and K of a
pair is the product of both parameters' K.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from dashboards.evaluators import coordinate
from dashboards.parameters import ParameterAxis
from search.records.study import TrialRecord

Floats = NDArray[np.float64]
# Optuna's fANOVA grows its forest to this depth.
DEPTH = 64
# A pair that exceeds all of so many values without interactions does so by chance once in 21.
SHUFFLES = 20
SHUFFLED_TREES = 16


@dataclass(frozen=True)
class SecondOrder:
    """Shares of the variance, by tree, parameter and parameter: on the diagonal what one explains alone, elsewhere what
    two explain together beyond that; `additive` is the largest of any pair in values without interactions.
    """

    paths: tuple[str, ...]
    by_tree: Floats
    additive: float

    @property
    def shares(self) -> Floats:
        """The forest's: the mean over its trees."""
        mean: Floats = self.by_tree.mean(axis=0)
        return mean


@dataclass(frozen=True)
class _Columns:
    """A parameter's place in the forest's input, one column per choice, and a number's limits."""

    place: slice
    choices: int
    limits: tuple[float, float]


def second_order(
    trials: Sequence[TrialRecord], values: Sequence[float], axes: Sequence[ParameterAxis], trees: int, seed: int
) -> SecondOrder | None:
    """Shares of the variance of the forest that `evaluators.fanova` grows; None without two parameters or a difference.

    All trials must have all parameters; those with one possible value stay out.
    """
    # Optuna's order of columns, and what it leaves out: the forest is the same to the last split.
    varied = sorted((axis for axis in axes if axis.limits[0] < axis.limits[1]), key=lambda axis: axis.path)
    if len(varied) < 2:
        return None
    columns = _columns(varied)
    inputs = np.array([[one for axis in varied for one in _encoded(axis, trial.params[axis.path])] for trial in trials])
    target = np.array(values)
    grown = _grown(inputs, target, columns, trees, seed)
    if not grown:
        return None
    # A forest shrinks what it fits. A second one on the rest gives single effects their size, and with it that of the
    # steps that trees make of them: else 2 of 7 linear functions seemed to interact.
    additive = _additive(grown, inputs)
    additive += _additive(_grown(inputs, target - additive, columns, trees, seed), inputs)
    generator = np.random.default_rng(seed)
    pairs = np.triu_indices(len(varied), k=1)
    largest = []
    # Trees invent interactions: steps along one parameter differ by another. How large they are is found in the same
    # trials, with the single parameters' effects and a shuffled rest. The spread over trees does not tell: of 100
    # additive values, nearly all trees agree on 3 % or more.
    for shuffle in range(1, SHUFFLES + 1):
        shuffled = additive + generator.permutation(target - additive)
        found = [leaves.shares() for leaves in _grown(inputs, shuffled, columns, SHUFFLED_TREES, seed + shuffle)]
        largest.append(float(np.mean(found, axis=0)[pairs].max()) if found else 0.0)
    by_tree = np.array([leaves.shares() for leaves in grown])
    return SecondOrder(tuple(axis.path for axis in varied), by_tree, max(largest))


class _Leaves:
    """A tree over the search space: its leaves' sizes, values and overlaps."""

    # Optuna's private `_FanovaTree` would give the same for numbers by a walk through the tree per cell of a grid, too
    # slow for all pairs. It also treats a choice's columns as independent numbers: of 100 values that are additive in
    # two choices, 8 % became interaction; here only choices that exist count, and it is 0 %.
    def __init__(self, tree: Any, columns: Sequence[_Columns]) -> None:
        self.columns = columns
        self.low, self.high, values = _boxes(tree)
        overlaps = np.array([self._overlap(one) for one in columns])
        own = overlaps.diagonal(axis1=1, axis2=2)
        sizes = own.prod(axis=0)
        self.mean = float(sizes @ values)
        self.weighted = sizes * (values - self.mean)
        self.variance = float(self.weighted @ (values - self.mean))
        # A leaf that no choice reaches has size 0, and counts nothing.
        self.own = np.where(own > 0, own, 1.0)
        self.overlaps = overlaps / (self.own[:, :, None] * self.own[:, None, :])

    def shares(self) -> Floats:
        """As one matrix of `SecondOrder.by_tree`."""
        flat = self.overlaps.reshape(len(self.columns), -1)
        products = np.outer(self.weighted, self.weighted).ravel()
        alone = flat @ products
        both = (flat * products) @ flat.T - alone[:, None] - alone
        np.fill_diagonal(both, alone)
        shares: Floats = both / self.variance
        return shares

    def additive(self, inputs: Floats) -> Floats:
        """The mean and what each parameter adds to it alone, for each line of the inputs."""
        total = np.full(len(inputs), self.mean)
        for one, own in zip(self.columns, self.own, strict=True):
            total += self._inside(inputs[:, one.place], one) @ (self.weighted / own)
        return total

    def _inside(self, points: Floats, one: _Columns) -> NDArray[np.bool_]:
        low, high = self.low[:, one.place], self.high[:, one.place]
        inside: NDArray[np.bool_] = np.all((low < points[:, None]) & (points[:, None] <= high), axis=2)
        return inside

    def _overlap(self, one: _Columns) -> Floats:
        """The share of the parameter's choices, or of its range, that each leaf has in common with each other."""
        if one.choices:
            chosen = self._inside(np.eye(one.choices), one).astype(float)
            both: Floats = chosen.T @ chosen / one.choices
            return both
        start, end = one.limits
        low, high = np.maximum(self.low[:, one.place], start), np.minimum(self.high[:, one.place], end)
        common: Floats = np.maximum(np.minimum(high, high.T) - np.maximum(low, low.T), 0.0) / (end - start)
        return common


def _grown(inputs: Floats, values: Floats, columns: Sequence[_Columns], trees: int, seed: int) -> list[_Leaves]:
    """The trees that found anything to split."""
    forest = RandomForestRegressor(n_estimators=trees, max_depth=DEPTH, random_state=seed).fit(inputs, values)
    leaves = [_Leaves(one.tree_, columns) for one in forest.estimators_ if one.tree_.node_count > 1]
    return [one for one in leaves if one.variance > 0]


def _additive(grown: Sequence[_Leaves], inputs: Floats) -> Floats:
    """The mean over the trees, if any, of what single parameters make of each line of the inputs."""
    total: Floats = np.zeros(len(inputs))
    for leaves in grown:
        total += leaves.additive(inputs) / len(grown)
    return total


def _boxes(tree: Any) -> tuple[Floats, Floats, Floats]:
    """Lower (exclusive) and upper bound of each leaf in each column, and its value."""
    low = np.full((tree.node_count, tree.n_features), -np.inf)
    high = np.full((tree.node_count, tree.n_features), np.inf)
    nodes = (tree.feature, tree.threshold, tree.children_left, tree.children_right)
    for parent, (column, threshold, left, right) in enumerate(zip(*(one.tolist() for one in nodes), strict=True)):
        if column >= 0:
            low[left] = low[right] = low[parent]
            high[left] = high[right] = high[parent]
            high[left, column] = low[right, column] = threshold
    leaf = tree.feature < 0
    return low[leaf], high[leaf], tree.value[leaf, 0, 0]


def _columns(axes: Sequence[ParameterAxis]) -> list[_Columns]:
    ends = accumulate((len(axis.choices) or 1 for axis in axes), initial=0)
    places = [slice(*both) for both in pairwise(ends)]
    return [_Columns(place, len(axis.choices), axis.limits) for place, axis in zip(places, axes, strict=True)]


def _encoded(axis: ParameterAxis, value: Any) -> list[float]:
    place = coordinate(axis, value)
    return [float(index == place) for index in range(len(axis.choices))] if axis.choices else [place]
