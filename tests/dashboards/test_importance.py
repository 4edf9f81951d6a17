"""Importance against Optuna's own evaluator on the same trials, and what is said where there are too few."""

import warnings
from dataclasses import replace

import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial

from dashboards.figures.importance import compared_trials, draw_importance, importance_of, importance_table
from tests.dashboards.studies import Builder


def test_shares_are_optunas_on_the_values_at_the_common_epoch(builder: Builder) -> None:
    for index in range(24):
        if index % 2:
            builder.trial(3, TrialState.PRUNED, "pruned")
        else:
            builder.trial(6, TrialState.COMPLETE, "finished")
    study = builder.read()
    found = importance_of(study)
    # Twelve trials reached epoch 6, so that the pruned ones are not compared.
    assert (found.epoch, len(found.trials), found.top) == (6, 12, 5)
    reference = optuna.create_study(direction="maximize")
    for trial in study.trials:
        if trial.state == "COMPLETE":
            reference.add_trial(
                create_trial(params=trial.params, distributions=trial.distributions, value=trial.values[6])
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = get_param_importances(reference, evaluator=PedAnovaImportanceEvaluator(target_quantile=5 / 12))
    assert found.shares == pytest.approx(expected)
    assert next(iter(found.shares)) == "optimizer.lr"
    assert sum(found.shares.values()) == pytest.approx(1.0)


def test_of_fifty_trials_the_best_tenth_is_described_as_by_optunas_default(builder: Builder) -> None:
    for _ in range(50):
        builder.trial(1, TrialState.COMPLETE, "finished")
    study = builder.read()
    reference = optuna.load_study(study_name=builder.name, storage=builder.study._storage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert importance_of(study).shares == pytest.approx(get_param_importances(reference))


def test_the_epoch_is_the_largest_that_ten_trials_reached(builder: Builder) -> None:
    for epochs in (1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6, 6, 6):
        builder.trial(epochs, TrialState.PRUNED, "pruned")
    builder.trial(6, TrialState.FAIL, "error")
    epoch, trials = compared_trials(builder.read())
    # Eleven of the thirteen reached epoch 3, nine epoch 4.
    assert epoch == 3
    assert len(trials) == 11


def test_a_pruned_trial_counts_with_its_value_at_that_epoch_not_its_last(builder: Builder) -> None:
    for _ in range(9):
        builder.trial([0.1, 0.2], TrialState.COMPLETE, "finished")
    builder.trial([0.1, 0.3, 0.9], TrialState.PRUNED, "pruned")
    epoch, trials = compared_trials(builder.read())
    assert (epoch, trials[-1].values[2]) == (2, 0.3)


def test_below_ten_trials_there_is_a_warning(builder: Builder) -> None:
    for _ in range(9):
        builder.trial(3, TrialState.COMPLETE, "finished")
    figure = draw_importance(builder.read())
    assert figure.layout.meta["notes"][1].startswith("Warning: 9 trials")
    assert "Warning: 9 trials" in figure.layout.title.subtitle.text


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_trials_explain_nothing(builder: Builder, count: int) -> None:
    for _ in range(count):
        builder.trial(3, TrialState.COMPLETE, "finished")
    study = builder.read()
    assert importance_table(study) == []
    assert f"{count} ended trials with a value" in draw_importance(study).layout.meta["missing"]


def test_equal_values_do_not_become_equal_importances(builder: Builder) -> None:
    for _ in range(12):
        builder.trial([0.5], TrialState.COMPLETE, "finished")
    study = builder.read()
    assert importance_table(study) == []
    assert "do not differ" in draw_importance(study).layout.meta["missing"]


def test_a_conditional_parameter_is_there_with_the_trials_that_had_it(builder: Builder) -> None:
    for _ in range(20):
        builder.trial(2, TrialState.COMPLETE, "finished")
    study = builder.read()
    rows = {row["parameter"]: row for row in importance_table(study)}
    with_it = sum("augment.strength" in trial.params for trial in study.trials)
    assert 0 < with_it < 20
    assert (rows["augment.strength"]["active in"], rows["augment.strength"]["trials"]) == (with_it, 20)
    best = sorted(study.trials, key=lambda trial: -trial.values[2])[:5]
    in_best = sum("augment.strength" in trial.params for trial in best)
    assert rows["augment.strength"]["active in best"] == in_best
    label = f"active in {with_it} of 20, in {in_best} of the best 5"
    assert any(label in text for text in draw_importance(study).layout.yaxis.ticktext)


def test_a_parameter_that_few_of_the_best_had_is_not_judged(builder: Builder) -> None:
    for number in range(20):
        builder.trial([number / 100], TrialState.COMPLETE, "finished")
    study = builder.read()
    # The best are those without a strength, but for the very best one.
    with_it = [trial.number for trial in study.trials if "augment.strength" in trial.params]
    trials = tuple(
        replace(trial, values={1: 0.9 if trial.number == with_it[0] else trial.number / 100})
        if trial.number in with_it
        else replace(trial, values={1: 0.5 + trial.number / 100})
        for trial in study.trials
    )
    found = importance_of(replace(study, trials=trials))
    assert sum("augment.strength" in trial.params for trial in found.best) == 1
    assert "augment.strength" not in found.shares
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.warnings == ("Not judged, active in fewer than 3 of the best 5: augment.strength (1).",)


def test_optunas_verbosity_is_left_as_it_was(builder: Builder) -> None:
    before = optuna.logging.get_verbosity()
    for _ in range(3):
        builder.trial(1, TrialState.COMPLETE, "finished")
    importance_of(builder.read())
    assert optuna.logging.get_verbosity() == before


def test_minimising_studies_describe_the_smallest_values(tmp_path_factory: pytest.TempPathFactory) -> None:
    builder = Builder(tmp_path_factory.mktemp("minimise"), direction="minimize")
    for _ in range(12):
        builder.trial(1, TrialState.COMPLETE, "finished")
    study = builder.read()
    reference = optuna.create_study(direction="minimize")
    for trial in study.trials:
        reference.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=trial.value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = get_param_importances(reference, evaluator=PedAnovaImportanceEvaluator(target_quantile=5 / 12))
    assert importance_of(study).shares == pytest.approx(expected)
