"""Tables against values worked out by hand, and figures against their tables."""

import math

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from dashboards.figures.best import best_table
from dashboards.figures.class_curves import draw_class_curves
from dashboards.figures.class_difference import draw_class_difference
from dashboards.figures.class_iou import class_iou_table, draw_class_iou
from dashboards.figures.confusion import draw_confusion
from dashboards.figures.contour import draw_contour
from dashboards.figures.cost import draw_cost
from dashboards.figures.curves import curves_table, draw_curves
from dashboards.figures.expected_best import draw_expected_best
from dashboards.figures.finalists import draw_finalists
from dashboards.figures.history import draw_history, history_table
from dashboards.figures.importance import draw_importance
from dashboards.figures.importance_classes import draw_importance_classes
from dashboards.figures.importance_methods import draw_importance_methods
from dashboards.figures.interactions import draw_interactions
from dashboards.figures.losses import draw_losses
from dashboards.figures.parallel import INACTIVE, draw_parallel, parallel_table
from dashboards.figures.promotion import draw_promotion, promotion_table
from dashboards.figures.pruning import draw_pruning
from dashboards.figures.slice import draw_slice, slice_table
from dashboards.figures.timeline import draw_timeline
from dashboards.outcomes import best_trial, count_outcomes
from dashboards.parameters import parameter_axes
from search.records.study import StudyRecord
from tests.dashboards.studies import FACTS, PROMOTION, Builder

DRAWN = (
    draw_history, draw_importance, draw_parallel, draw_curves,
    draw_importance_classes, draw_importance_methods, draw_class_iou, draw_promotion,
    draw_cost, draw_pruning, draw_timeline, draw_losses, draw_class_curves, draw_class_difference,
    draw_confusion, draw_finalists, draw_contour, draw_interactions,
)  # fmt: skip


def test_history_takes_the_best_of_complete_trials_alone(builder: Builder) -> None:
    builder.trial([0.9, 0.8], TrialState.PRUNED, "pruned")
    builder.trial([0.3, 0.5, 0.4], TrialState.COMPLETE, "finished")
    builder.trial([0.2], TrialState.FAIL, "error")
    builder.trial([0.4, 0.45], TrialState.COMPLETE, "finished")
    builder.trial([0.6], TrialState.COMPLETE, "early_stopped")
    rows = history_table(builder.read())
    assert [(row["trial"], row["value"], row["best so far"]) for row in rows] == [
        (0, 0.8, None),
        (1, 0.5, 0.5),
        (3, 0.45, 0.5),
        (4, 0.6, 0.6),
    ]


def test_a_study_that_minimises_has_the_smallest_as_best(tmp_path_factory: pytest.TempPathFactory) -> None:
    builder = Builder(tmp_path_factory.mktemp("minimise"), direction="minimize")
    for value in (0.5, 0.7, 0.2):
        builder.trial([value], TrialState.COMPLETE, "finished")
    study = builder.read()
    assert [row["best so far"] for row in history_table(study)] == [0.5, 0.5, 0.2]
    best = best_trial(study)
    assert best is not None and best.number == 2


def test_a_study_of_few_trials_has_a_tick_for_each_and_none_between(builder: Builder) -> None:
    for value in (0.3, 0.5, 0.4):
        builder.trial([value], TrialState.COMPLETE, "finished")
    study = builder.read()
    for draw in (draw_history, draw_expected_best):
        assert draw(study).layout.xaxis.dtick == 1


def test_outcomes_tell_apart_what_one_state_hides(full_study: StudyRecord) -> None:
    assert count_outcomes(full_study.trials) == (
        "9 complete, 4 pruned, 1 stopped, 1 diverged, 1 out of memory, 1 failed, 1 running, 1 interrupted"
    )
    figure = draw_history(full_study)
    assert {trace.name: len(trace.x) for trace in figure.data if trace.mode == "markers"} == {
        "complete": 9,
        "pruned": 4,
        "stopped": 1,
        "diverged": 1,
    }


def test_curves_have_every_epoch_and_a_mark_at_each_end(full_study: StudyRecord) -> None:
    rows = curves_table(full_study)
    assert len(rows) == sum(len(trial.values) for trial in full_study.trials) == 9 * 6 + 4 * 3 + 2 + 2 + 1 + 3 + 2
    figure = draw_curves(full_study)
    lines = [trace for trace in figure.data if trace.mode == "lines" and not trace.name.startswith("best")]
    assert sum(len([y for y in trace.y if y is not None]) for trace in lines) == len(rows)
    ends = {trace.name: list(trace.x) for trace in figure.data if trace.mode == "markers"}
    assert ends["pruned"] == [3, 3, 3, 3]
    assert ends["complete"] == [6] * 9
    assert (ends["diverged"], ends["interrupted"], ends["running"]) == ([2], [2], [3])


def test_an_undefined_epoch_is_a_gap(builder: Builder) -> None:
    builder.trial([0.2, math.nan, 0.4], TrialState.COMPLETE, "finished")
    study = builder.read()
    assert math.isnan(curves_table(study)[1]["value"])
    assert list(draw_curves(study).data[0].y) == [0.2, None, 0.4, None]


def test_the_ten_best_show_final_and_spread(builder: Builder) -> None:
    builder.trial([0.1, 0.6, 0.5, 0.55], TrialState.COMPLETE, "finished")
    builder.trial([0.7, 0.65], TrialState.COMPLETE, "finished")
    builder.trial([0.99, 0.98, 0.97], TrialState.PRUNED, "pruned")
    first, second = best_table(builder.read())
    assert (first["trial"], first["best"], first["epoch"], first["final"], first["spread"]) == (1, 0.7, 1, 0.65, None)
    assert (second["trial"], second["best"], second["final"]) == (0, 0.6, 0.55)
    assert second["spread"] == pytest.approx(0.1)


def test_the_table_of_the_best_ends_at_ten_and_keeps_ties_in_order(builder: Builder) -> None:
    for _ in range(12):
        builder.trial([0.5], TrialState.COMPLETE, "finished")
    assert [row["trial"] for row in best_table(builder.read())] == list(range(10))


def test_class_iou_is_of_the_best_epoch_with_shares_of_training_pixels(builder: Builder) -> None:
    builder.trial([0.2, 0.6, 0.5], TrialState.COMPLETE, "finished")
    rows = class_iou_table(builder.read())
    assert [row["class"] for row in rows] == ["background", "soil", "bedrock", "sand", "big rock"]
    assert [row["IoU"] for row in rows[:4]] == pytest.approx([0.7, 0.6, 0.55, 0.6])
    assert math.isnan(rows[4]["IoU"])
    assert rows[4]["share of training pixels"] == 0.002
    assert "undefined" in draw_class_iou(builder.read()).data[0].text[0]


def test_classes_without_names_have_numbers(tmp_path_factory: pytest.TempPathFactory) -> None:
    builder = Builder(tmp_path_factory.mktemp("own"), facts={**FACTS, "class_names": ["a", "b"]})
    builder.trial([0.5], TrialState.COMPLETE, "finished")
    rows = class_iou_table(builder.read())
    assert [row["class"] for row in rows] == ["class 0", "class 1", "class 2", "class 3", "class 4"]
    assert {row["share of training pixels"] for row in rows} == {None}


def test_slices_leave_out_trials_without_the_parameter(full_study: StudyRecord) -> None:
    with_value = [trial for trial in full_study.trials if trial.value is not None]
    active = [trial for trial in with_value if "augment.strength" in trial.params]
    assert 0 < len(active) < len(with_value)
    assert len(slice_table(full_study, "augment.strength")) == len(active)
    figure = draw_slice(full_study, "augment.strength")
    assert sum(len(trace.x) for trace in figure.data) == len(active)
    assert f"Not active in {len(with_value) - len(active)} further trials." in figure.layout.meta["notes"]


def test_a_slice_of_a_rate_is_logarithmic_and_of_choices_has_every_choice(full_study: StudyRecord) -> None:
    rate = draw_slice(full_study, "optimizer.lr")
    assert list(rate.layout.xaxis.ticktext) == ["0.0001", "0.001", "0.01", "0.1"]
    complete = next(trace for trace in rate.data if trace.name == "complete")
    rates = [trial.params["optimizer.lr"] for trial in full_study.trials if trial.state == "COMPLETE"]
    np.testing.assert_allclose(complete.x, np.log10(rates))
    choices = draw_slice(full_study, "augment.set")
    assert list(choices.layout.xaxis.ticktext) == ["none", "flips", "terrain"]
    for trace in choices.data:
        assert all(abs(x - round(x)) < 0.2 for x in trace.x)


def test_parallel_coordinates_hold_every_ended_trial_once_and_the_best_again(full_study: StudyRecord) -> None:
    rows = parallel_table(full_study)
    assert len(rows) == 15
    figure = draw_parallel(full_study)
    lines = [trace for trace in figure.data if trace.y[0] is not None]
    ends = [y for trace in lines for x, y in zip(trace.x, trace.y, strict=True) if x == 4]
    values = np.array([row["value"] for row in rows])
    shares = (values - values.min()) / (values.max() - values.min())
    np.testing.assert_allclose(sorted(ends), sorted([*shares, 1.0]))
    strengths = [y for trace in lines for x, y in zip(trace.x, trace.y, strict=True) if x == 2]
    best = best_trial(full_study)
    assert best is not None
    inactive = sum(row["augment.strength"] is None for row in rows) + ("augment.strength" not in best.params)
    assert strengths.count(INACTIVE) == inactive


def test_parameters_come_in_the_study_files_order(full_study: StudyRecord) -> None:
    assert list(parameter_axes(full_study)) == ["optimizer.lr", "augment.set", "augment.strength", "model.depth"]


def test_choices_that_are_equal_to_python_keep_their_places(builder: Builder) -> None:
    for value in (True, 1, "none", None):
        trial = builder.study.ask({"flag": optuna.distributions.CategoricalDistribution([True, 1, "none", None])})
        trial.params["flag"] = value
        builder.study.tell(trial, 0.5)
    axis = parameter_axes(builder.read())["flag"]
    assert [axis.position(value) for value in (True, 1, "none", None)] == [0, 1, 2, 3]
    assert [label for _, label in axis.ticks()] == ["true", "1", "none", "none"]


def test_a_promotion_stands_beside_validation(builder: Builder) -> None:
    builder.trial([0.5], TrialState.COMPLETE, "finished")
    builder.study.set_user_attr("promotion", PROMOTION)
    study = builder.read()
    rows = promotion_table(study)
    assert rows[0] == {"figure": "mIoU", "validation": 0.6512, "test": 0.6012}
    assert rows[-1] == {"figure": "IoU big rock", "validation": 0.2, "test": None}
    figure = draw_promotion(study)
    tested = next(trace for trace in figure.data if trace.name == "test")
    assert sum(x is not None for x in tested.x) == len(rows) - 1
    assert "opening 2 of this test set" in figure.layout.meta["subtitle"]
    assert "opened again: more data" in figure.layout.meta["subtitle"]


@pytest.mark.parametrize("draw", DRAWN[:4])
def test_figures_say_how_many_trials_which_states_metric_and_split(draw, full_study: StudyRecord) -> None:  # type: ignore[no-untyped-def]
    subtitle = draw(full_study).layout.title.subtitle.text
    assert "9 complete" in subtitle
    assert "4 pruned" in subtitle
    assert "validation mIoU" in subtitle
    assert "validation split (32 images)" in subtitle


@pytest.mark.parametrize("draw", DRAWN)
def test_a_study_without_trials_says_so(draw, builder: Builder) -> None:  # type: ignore[no-untyped-def]
    figure = draw(builder.read())
    assert figure.layout.meta["missing"]
    assert figure.layout.annotations[0].text
    assert not figure.data


@pytest.mark.parametrize("draw", DRAWN)
def test_a_study_of_failed_trials_says_so(draw, builder: Builder) -> None:  # type: ignore[no-untyped-def]
    builder.trial([], TrialState.FAIL, "error")
    assert draw(builder.read()).layout.meta["missing"]


def test_names_are_shown_verbatim(tmp_path_factory: pytest.TempPathFactory) -> None:
    facts = {"metric": "mIoU <b>bold</b> & more", "split": "validation"}
    builder = Builder(tmp_path_factory.mktemp("names"), facts=facts)
    builder.trial([0.5], TrialState.COMPLETE, "finished")
    figure = draw_history(builder.read())
    assert figure.layout.yaxis.title.text == "mIoU &lt;b&gt;bold&lt;/b&gt; &amp; more"
    assert "<b>bold" not in figure.layout.title.subtitle.text
