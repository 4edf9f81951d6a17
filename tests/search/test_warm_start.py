"""What of a study's best settings another study takes, by path; and first trials made once."""

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.first_trials import ENQUEUED, FirstTrial, enqueue_first, enqueue_once, keep_first
from search.space import Space
from search.space_settings import ParameterSettings
from search.warm_start import best_trials, map_trials

KINDS = {"lr": float, "opt": str, "momentum": float, "depth": int, "decay": float}
FIXED = {"lr": 0.1, "opt": "adamw", "momentum": 0.9, "depth": 2, "decay": 0.0}


def space(**declared: dict[str, object]) -> Space:
    return Space.declare({path: ParameterSettings.model_validate(one) for path, one in declared.items()}, KINDS)


THERE = space(
    lr={"low": 1e-4, "high": 1.0, "log": True},
    opt={"choices": ["adamw", "sgd", "lion"]},
    momentum={"low": 0.0, "high": 0.99, "when": {"opt": "sgd"}},
)
HERE = space(
    lr={"low": 1e-4, "high": 1e-1, "log": True},
    opt={"choices": ["adamw", "sgd"]},
    momentum={"low": 0.5, "high": 0.99, "when": {"opt": "sgd"}},
    depth={"low": 1, "high": 3},
)


def ended(number: int, value: float, state: TrialState = TrialState.COMPLETE, **params: object) -> FrozenTrial:
    distributions = {path: THERE.distributions[path] for path in params}
    trial = create_trial(state=state, value=value, params=params, distributions=distributions)
    trial.number = number
    return trial


def test_the_best_complete_trials_the_first_of_equals() -> None:
    trials = [ended(0, 0.5), ended(1, 0.7), ended(2, 0.9, TrialState.PRUNED), ended(3, 0.7), ended(4, 0.1)]
    assert [trial.number for trial in best_trials(trials, 3)] == [1, 3, 0]
    assert [trial.number for trial in best_trials(trials, 9)] == [1, 3, 0, 4]


def test_values_by_path_and_what_was_fixed_there_counts() -> None:
    found = map_trials([ended(7, 0.8, lr=0.01, opt="sgd", momentum=0.6)], FIXED, HERE, FIXED, [])
    assert [(one.number, one.value, one.values) for one in found.taken] == [
        (7, 0.8, {"lr": 0.01, "opt": "sgd", "momentum": 0.6, "depth": 2})
    ]
    assert found.lines == []


def test_what_does_not_fit_is_left_to_be_sampled_and_told_in_one_line_each() -> None:
    trials = [ended(3, 0.9, lr=0.5, opt="lion"), ended(4, 0.8, lr=0.9, opt="sgd", momentum=0.1), ended(5, 0.7, lr=0.9)]
    found = map_trials(trials, {"lr": 0.1, "opt": "sgd", "momentum": 0.9}, HERE, FIXED, [])
    # Without an optimizer of this space its momentum is not known to be searched.
    assert [one.values for one in found.taken] == [{"opt": "sgd"}, {"opt": "sgd", "momentum": 0.9}]
    assert found.lines == [
        "lr: got 0.5; expected a number from 0.0001 to 0.1; it is sampled (trial 3)",
        "opt: got 'lion'; expected one of adamw, sgd; it is sampled (trial 3)",
        "depth: no setting there; it is sampled (trial 3, 4, 5)",
        "lr: got 0.9; expected a number from 0.0001 to 0.1; it is sampled (trial 4, 5)",
        "momentum: got 0.1; expected a number from 0.5 to 0.99; it is sampled (trial 4)",
    ]


def test_a_parameter_that_this_study_does_not_search_then_is_told() -> None:
    here = space(momentum={"low": 0.0, "high": 0.99, "when": {"opt": "adamw"}}, opt={"choices": ["adamw", "sgd"]})
    found = map_trials([ended(1, 0.5, lr=0.1, opt="sgd", momentum=0.3)], FIXED, here, FIXED, [])
    assert [one.values for one in found.taken] == [{"opt": "sgd"}]
    assert found.lines == [
        "lr: searched there and not here (trial 1)",
        "momentum: not searched here with the other values of the trial (trial 1)",
    ]


def test_the_same_settings_are_taken_once() -> None:
    trials = [ended(0, 0.9, lr=0.01), ended(1, 0.8, lr=0.01), ended(2, 0.7, lr=0.02)]
    here = space(lr={"low": 1e-4, "high": 1e-1})
    found = map_trials(trials, {}, here, {}, [{"lr": 0.02}])
    assert [one.number for one in found.taken] == [0]
    assert found.repeated == 2
    assert map_trials([ended(0, 0.9, lr=0.5)], {}, here, {}, []).taken == []


@pytest.mark.parametrize("begun", [0, 1, 2])
def test_first_trials_are_made_once_in_their_order(begun: int) -> None:
    study = optuna.create_study()
    wanted = [FirstTrial("a", {"x": 1.0}), FirstTrial("b", {"x": 1.0})]
    keep_first(study, wanted)
    for one in wanted[:begun]:
        enqueue_once(study, one.by, one.values)
    enqueue_first(study)
    enqueue_first(study)
    assert [trial.user_attrs[ENQUEUED] for trial in study.trials] == ["a", "b"]
    assert [trial.system_attrs["fixed_params"] for trial in study.trials] == [{"x": 1.0}] * 2
    assert enqueue_once(study, "b", {}) == 1


def test_a_study_without_first_trials_has_none() -> None:
    study = optuna.create_study()
    enqueue_first(study)
    assert study.trials == []
