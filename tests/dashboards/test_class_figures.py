"""Classes over epochs and of two trials, ordered by how frequent they are."""

import math

import pytest
from optuna.trial import TrialState

from dashboards.figures.class_curves import class_curves_table, draw_class_curves
from dashboards.figures.class_difference import class_difference_table, draw_class_difference
from search.records.study import StudyRecord
from tests.dashboards.studies import Builder

# Shares of the training pixels: soil 0.3, bedrock 0.25, sand 0.248, background 0.2, big rock 0.002 (undefined).
BY_FREQUENCY = ["soil", "bedrock", "sand", "background", "big rock"]


@pytest.fixture
def two(builder: Builder) -> StudyRecord:
    builder.trial([0.3, 0.6], TrialState.COMPLETE, "finished")
    builder.trial([0.5, 0.4], TrialState.COMPLETE, "finished")
    builder.trial([0.2], TrialState.PRUNED, "pruned")
    return builder.read()


def test_the_rarest_defined_classes_of_the_best_trial_by_default(two: StudyRecord) -> None:
    rows = class_curves_table(two)
    assert list(dict.fromkeys(row["class"] for row in rows)) == ["soil", "bedrock", "sand", "background"]
    assert [row["epoch"] for row in rows[-2:]] == [1, 2]
    assert [row["IoU"] for row in rows[-2:]] == pytest.approx([0.4, 0.7])
    assert {trace.name for trace in draw_class_curves(two).data} >= {"sand (24.8%)", "background (20.0%)"}


def test_classes_and_trial_can_be_chosen(two: StudyRecord) -> None:
    rows = class_curves_table(two, 2, ["soil", "big rock"])
    assert [(row["class"], row["epoch"]) for row in rows] == [("soil", 1), ("big rock", 1)]
    assert math.isnan(rows[1]["IoU"])
    assert "trial 2 (pruned)" in draw_class_curves(two, 2, ["soil"]).layout.meta["subtitle"]
    assert draw_class_curves(two, 9).layout.meta["missing"]


def test_the_difference_is_of_best_epochs_by_frequency(two: StudyRecord) -> None:
    rows = class_difference_table(two)
    assert [row["class"] for row in rows] == BY_FREQUENCY
    # 0.6 at epoch 2 of trial 0 against 0.5 at epoch 1 of trial 1; each class has the same offset in both.
    assert [row["difference"] for row in rows[:4]] == pytest.approx([0.1] * 4)
    assert math.isnan(rows[4]["difference"])
    assert (rows[0]["trial 0"], rows[0]["trial 1"]) == (0.6, 0.5)
    swapped = class_difference_table(two, 1, 0)
    assert [row["difference"] for row in swapped[:4]] == pytest.approx([-0.1] * 4)
    words = draw_class_difference(two).layout.meta
    assert "trial 0 (complete, epoch 2, 0.6000) against trial 1 (complete, epoch 1, 0.5000)" in words["subtitle"]
    assert words["alt"] == "Of 5 classes 4 have a higher IoU in trial 0 than in trial 1."


def test_the_other_trial_has_other_class_weights_where_they_were_searched(builder: Builder) -> None:
    for value, weights in ((0.6, "none"), (0.5, "none"), (0.4, "inverse")):
        builder.study.enqueue_trial({"loss.class_weights": weights})
        trial = builder.ask()
        trial.suggest_categorical("loss.class_weights", ["none", "inverse"])
        trial.set_user_attr("best_epoch", 1)
        builder.study.tell(trial, value)
    figure = draw_class_difference(builder.read())
    assert "against trial 2 (" in figure.layout.meta["subtitle"]
    assert "Their rows are not here" in figure.layout.meta["missing"]


def test_one_trial_has_none_to_stand_beside(builder: Builder) -> None:
    builder.trial([0.3], TrialState.COMPLETE, "finished")
    assert class_difference_table(builder.read()) == []
    assert draw_class_difference(builder.read()).layout.meta["missing"].startswith("It takes two trials")


def test_what_two_trials_differ_in_is_said(two: StudyRecord) -> None:
    note = draw_class_difference(two).layout.meta["notes"][0]
    assert "optimizer.lr" in note and " against " in note
