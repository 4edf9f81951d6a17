"""Losses and learning rates as the rows have them, of the best trials and of those that diverged."""

import math

from optuna.trial import TrialState

from dashboards.figures.losses import draw_losses, losses_table
from tests.dashboards.studies import Builder


def test_it_shows_the_best_three_and_the_newest_two_that_diverged(builder: Builder) -> None:
    for value in (0.1, 0.4, 0.3, 0.2):
        builder.trial([value, value], TrialState.COMPLETE, "finished")
    for _ in range(3):
        builder.trial([0.3, math.nan], TrialState.PRUNED, "diverged")
    builder.trial([0.9], TrialState.PRUNED, "pruned")
    study = builder.read()
    rows = losses_table(study)
    assert list(dict.fromkeys(row["trial"] for row in rows)) == [1, 2, 3, 5, 6]
    # The rows have a validation loss of 1 / epoch, undefined where the trial diverged, and no training loss.
    assert [row["validation loss"] for row in rows[:2]] == [1.0, 0.5]
    assert math.isnan(rows[-1]["validation loss"]) and math.isnan(rows[0]["training loss"])
    assert {row["learning rate"] for row in rows} == {1e-3}
    figure = draw_losses(study)
    ends = [trace for trace in figure.data if trace.mode == "markers"]
    assert [(trace.x[0], trace.marker.symbol) for trace in ends] == [(2, "circle")] * 3 + [(1, "triangle-up")] * 2
    assert figure.layout.yaxis2.type == "log"


def test_any_trials_can_be_chosen(builder: Builder) -> None:
    for _ in range(3):
        builder.trial([0.3], TrialState.PRUNED, "pruned")
    study = builder.read()
    assert [row["trial"] for row in losses_table(study, [0, 2])] == [0, 2]
    assert {trace.name for trace in draw_losses(study, [2]).data} >= {"trial 2, pruned"}
    assert draw_losses(study).layout.meta["missing"] == "No trial is complete or has diverged yet."


def test_losses_that_are_elsewhere_are_asked_for(builder: Builder) -> None:
    builder.folder(builder.trial([0.5], TrialState.COMPLETE, "finished")).joinpath("epochs.jsonl").unlink()
    assert "No losses are here: expected " in draw_losses(builder.read()).layout.meta["missing"]
