"""Three importance methods against Optuna's own on the same trials, and their spread against a plain loop."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import TrialState, create_trial

from dashboards.evaluators import fanova, mean_decrease_impurity
from dashboards.figures import importance_methods as figure_module
from dashboards.figures.importance import importance_of
from dashboards.figures.importance_methods import (
    draw_importance_methods,
    importance_methods,
    importance_methods_table,
)
from dashboards.parameters import parameter_axes
from search.records.study import StudyRecord
from tests.dashboards.studies import Builder

EVERYWHERE = ("augment.set", "model.depth", "optimizer.lr")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_module, "RESAMPLES", 5)


def reference(study: StudyRecord) -> optuna.Study:
    """The study as Optuna would have it, had the rate been searched by its exponent: without what not all have."""
    copy = optuna.create_study(direction="maximize")
    distributions = {
        "augment.set": CategoricalDistribution(["none", "flips", "terrain"]),
        "model.depth": IntDistribution(2, 4),
        "optimizer.lr": FloatDistribution(-4, -1),
    }
    for trial in study.trials:
        params = {path: trial.params[path] for path in distributions}
        params["optimizer.lr"] = np.log10(params["optimizer.lr"])
        copy.add_trial(create_trial(params=params, distributions=distributions, value=trial.values[6]))
    return copy


@pytest.mark.parametrize(
    ("name", "evaluator"),
    [
        ("fANOVA", FanovaImportanceEvaluator(seed=0)),
        ("mean decrease impurity", MeanDecreaseImpurityImportanceEvaluator(seed=0)),
    ],
)
def test_forests_are_optunas_with_the_rate_by_its_exponent(
    builder: Builder, name: str, evaluator: BaseImportanceEvaluator
) -> None:
    for _ in range(14):
        builder.trial(6, TrialState.COMPLETE, "finished")
    study = builder.read()
    method = next(one for one in importance_methods(study) if one.name == name)
    assert method.shares == pytest.approx(get_param_importances(reference(study), evaluator=evaluator))
    assert next(iter(method.shares)) == "optimizer.lr"
    assert set(method.shares) == set(EVERYWHERE)


def test_whiskers_of_a_forest_are_its_single_trees(builder: Builder) -> None:
    for _ in range(12):
        builder.trial(6, TrialState.COMPLETE, "finished")
    study = builder.read()
    axes = [parameter_axes(study)[path] for path in EVERYWHERE]
    values = [trial.values[6] for trial in study.trials]
    for method in importance_methods(study)[1:3]:
        evaluate = fanova if method.name == "fANOVA" else mean_decrease_impurity
        trees = [evaluate(study.trials, values, axes, trees=1, seed=seed) for seed in range(5)]
        shares = [one["optimizer.lr"] / sum(one.values()) for one in trees]
        assert method.low["optimizer.lr"] == pytest.approx(np.quantile(shares, 0.05))
        assert method.high["optimizer.lr"] == pytest.approx(np.quantile(shares, 0.95))


def test_ped_anova_is_the_importance_figures_and_a_decisive_parameter_stays_first(builder: Builder) -> None:
    for _ in range(20):
        builder.trial(2, TrialState.COMPLETE, "finished")
    study = builder.read()
    first = importance_methods(study)[0]
    assert (first.name, first.epoch, len(first.trials)) == ("PED-ANOVA", 2, 20)
    assert first.shares == pytest.approx(importance_of(study).shares)
    for row in importance_methods_table(study):
        assert 0 <= row["5 %"] <= row["95 %"] <= 1


def test_survivorship_is_shown_by_the_trials_that_were_never_pruned(builder: Builder) -> None:
    for index in range(36):
        if index % 3 == 0:
            builder.trial(6, TrialState.COMPLETE, "finished", audit=True)
        elif index % 3 == 1:
            builder.trial(6, TrialState.COMPLETE, "finished")
        else:
            builder.trial(3, TrialState.PRUNED, "pruned")
    figure = draw_importance_methods(builder.read())
    assert "Without survivorship: 12 trials that were never pruned, at epoch 6." in figure.layout.meta["notes"]
    assert "PED-ANOVA, unpruned tenth" in {trace.name for trace in figure.data}


def test_few_unpruned_trials_say_so_and_conditional_parameters_are_named(builder: Builder) -> None:
    for _ in range(11):
        builder.trial(3, TrialState.COMPLETE, "finished")
    notes = draw_importance_methods(builder.read()).layout.meta["notes"]
    assert "The unpruned tenth has 0 trials, too few to say more: it takes 10." in notes
    assert "Not in every trial, hence by PED-ANOVA alone: augment.strength." in notes
    assert any(note.startswith("fANOVA: single parameters explain") for note in notes)
    assert notes[0].startswith("Whiskers are descriptive")


def test_two_trials_explain_nothing(builder: Builder) -> None:
    for _ in range(2):
        builder.trial(3, TrialState.COMPLETE, "finished")
    figure = draw_importance_methods(builder.read())
    assert figure.layout.meta["missing"] == "2 ended trials with a value: 3 at least are needed."


def test_equal_values_explain_nothing(builder: Builder) -> None:
    for _ in range(12):
        builder.trial([0.5], TrialState.COMPLETE, "finished")
    assert {method.name for method in importance_methods(builder.read())} <= {"PED-ANOVA"}
