"""Two parameters at a time: cells against means taken by hand."""

import math

import numpy as np
import pytest
from optuna.trial import TrialState

from dashboards.figures.contour import CELLS, contour_table, draw_contour
from dashboards.figures.importance import importance_of
from search.records.study import StudyRecord
from tests.dashboards.studies import Builder


@pytest.fixture
def study(builder: Builder) -> StudyRecord:
    for _ in range(16):
        builder.trial(2, TrialState.COMPLETE, "finished")
    return builder.read()


def test_a_cell_is_the_mean_of_its_trials_and_empty_without(study: StudyRecord) -> None:
    figure = draw_contour(study, "optimizer.lr", "augment.set")
    heat = figure.data[0]
    z = np.array(heat.z, dtype=float)
    assert z.shape == (3, CELLS)
    for line, choice in enumerate(["none", "flips", "terrain"]):
        for column in range(CELLS):
            # Six cells over the three decades from 1e-4: two a decade.
            inside = [
                trial.values[2]
                for trial in study.trials
                if trial.params["augment.set"] == choice
                and math.floor(2 * (math.log10(trial.params["optimizer.lr"]) + 4)) == column
            ]
            assert z[line, column] == pytest.approx(np.mean(inside)) if inside else np.isnan(z[line, column])
    best = np.unravel_index(np.nanargmax(z), z.shape)
    assert f"augment.set {['none', 'flips', 'terrain'][best[0]]} (" in figure.layout.meta["notes"][0]
    assert sum(len(trace.x) for trace in figure.data[1:]) == 16


def test_the_two_most_important_parameters_by_default(study: StudyRecord) -> None:
    first, second = list(importance_of(study).shares)[:2]
    assert set(contour_table(study)[0]) == {"trial", "state", first, second, "value"}
    assert draw_contour(study, y=first).layout.yaxis.title.text.startswith(first)


def test_trials_without_a_parameter_stay_out_and_unknown_ones_say_so(study: StudyRecord) -> None:
    active = sum("augment.strength" in trial.params for trial in study.trials)
    assert len(contour_table(study, "augment.strength", "optimizer.lr")) == active
    assert draw_contour(study, "nothing").layout.meta["missing"].startswith("It takes two parameters")
