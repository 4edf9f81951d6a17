"""Past trials in a changed space: what stays, what is filled in, what is refused."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from search.copying import trial_data
from search.samplers import build_sampler
from search.space import Space
from search.space_change import SpaceChangeError, rewrite_trials
from search.space_settings import ParameterSettings

KINDS = {"lr": float, "depth": str, "scale": float, "width": int, "batch": int}
FIXED = {"lr": 1e-3, "depth": "all", "scale": 1.0, "width": 16, "batch": 8}
OLD = {
    "lr": ParameterSettings(low=1e-4, high=1e-2, log=True),
    "depth": ParameterSettings(choices=("head", "all")),
    "scale": ParameterSettings(low=0.0, high=1.0, when={"depth": "all"}),
}
WIDER = {
    "lr": ParameterSettings(low=1e-5, high=1e-1, log=True),
    "depth": ParameterSettings(choices=("head", "decoder", "all")),
    "scale": ParameterSettings(low=0.0, high=2.0, when={"depth": ("decoder", "all")}),
}
HEAD = {"lr": 1e-3, "depth": "head"}
ALL = {"lr": 2e-3, "depth": "all", "scale": 0.5}


def space(declared: Mapping[str, ParameterSettings]) -> Space:
    return Space.declare(declared, KINDS)


def trial(number: int, params: Mapping[str, Any], state: TrialState = TrialState.COMPLETE, **more: Any) -> FrozenTrial:
    """A trial of the old space."""
    began = datetime(2026, 1, 1)
    distributions = space(OLD).distributions
    keywords: dict[str, Any] = {
        "number": number, "trial_id": number + 10, "state": state, "params": dict(params),
        "distributions": {path: distributions[path] for path in params}, "user_attrs": {"reason": "r"},
        "system_attrs": {}, "intermediate_values": {1: 0.5}, "value": 0.5 if state is TrialState.COMPLETE else None,
        "datetime_start": began, "datetime_complete": began if state.is_finished() else None,
    } | more  # fmt: skip
    return FrozenTrial(**keywords)


def change(trials: list[FrozenTrial], declared: Mapping[str, ParameterSettings]) -> list[FrozenTrial]:
    return rewrite_trials(trials, space(OLD), space(declared), FIXED).trials


def test_wider_distributions_are_all_that_changes() -> None:
    trials = [trial(0, HEAD), trial(1, ALL, TrialState.PRUNED), trial(2, ALL, TrialState.WAITING), trial(3, ALL)]
    done = rewrite_trials(trials, space(OLD), space(WIDER), FIXED)
    assert done.filled == {}
    for before, after in zip(trials, done.trials, strict=True):
        assert after.params == before.params
        assert after.distributions == {path: space(WIDER).distributions[path] for path in before.params}
        old, new = trial_data(before), trial_data(after)
        assert {key: new[key] for key in new if key != "distributions"} == {
            key: old[key] for key in old if key != "distributions"
        }
    # What was read is not touched.
    assert trials[0].distributions["lr"] == FloatDistribution(1e-4, 1e-2, log=True)


def test_a_new_parameter_has_the_fixed_value_in_trials_that_began() -> None:
    more = {**WIDER, "batch": ParameterSettings(choices=(4, 8))}
    waits = {"state": TrialState.WAITING}
    trials = [
        trial(0, HEAD),
        trial(1, ALL, **waits),
        # Enqueued, and left by a crash before it had drawn all: both draw what they lack when they start.
        trial(2, {}, **waits, datetime_start=None, system_attrs={"fixed_params": {"lr": 1e-3}}),
        trial(3, {"lr": 1e-3}, **waits),
    ]
    done = rewrite_trials(trials, space(OLD), space(more), FIXED)
    assert [one.params for one in done.trials] == [HEAD | {"batch": 8}, ALL | {"batch": 8}, {}, {"lr": 1e-3}]
    assert done.filled == {"batch": 2}
    assert done.trials[2].system_attrs == {"fixed_params": {"lr": 1e-3}}


def test_a_parameter_that_a_condition_now_lets_in_has_the_fixed_value() -> None:
    anywhere = {**OLD, "scale": ParameterSettings(low=0.0, high=1.0, when={"depth": ("head", "all")})}
    assert [one.params for one in change([trial(0, HEAD), trial(1, ALL)], anywhere)] == [HEAD | {"scale": 1.0}, ALL]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (
            {"lr": ParameterSettings(low=1e-4, high=1e-3, log=True)},
            r"lr: trial 1: got 0.002; expected a number from .*; and 7 more trials",
        ),
        (
            {"depth": ParameterSettings(choices=("all", "decoder"))},
            "depth: trial 0: got 'head'; expected one of all, decoder$",
        ),
        (
            {"scale": ParameterSettings(low=0.0, high=1.0, when={"depth": "head"})},
            "scale: trial 1: its new condition does not hold; and",
        ),
        ({"batch": ParameterSettings(choices=(1, 2))}, "batch: trial 0: got 8; expected one of 1, 2"),
        ({"scale": None}, "scale: trial 1: a parameter that was searched cannot be taken out"),
        ({"lr": ParameterSettings(low=1e-4, high=5e-3, log=True)}, "lr: trial 8: got 0.009; expected"),
    ],
)
def test_a_space_that_leaves_out_a_past_trial_is_refused(declared: dict[str, Any], message: str) -> None:
    trials = [trial(0, HEAD), *(trial(number, ALL) for number in range(1, 8))]
    asked = {"fixed_params": {"lr": 9e-3}}
    trials.append(trial(8, {}, TrialState.WAITING, datetime_start=None, system_attrs=asked))
    changed = {path: one for path, one in {**OLD, **declared}.items() if one is not None}
    with pytest.raises(SpaceChangeError, match=message) as refused:
        change(trials, changed)
    assert str(refused.value).startswith("the new space must hold every past trial, and leaves some out:\n  ")


def study_of(trials: list[FrozenTrial]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    study.add_trials(trials)
    return study


def value_of(values: Mapping[str, Any]) -> float:
    """The best lies above the old range of lr, and at the choice that is new."""
    return float(0.3 * (values["depth"] == "decoder") - (math.log10(values["lr"]) + 1.5) ** 2)


def proposals(study: optuna.Study, declared: Mapping[str, ParameterSettings], count: int = 40) -> list[dict[str, Any]]:
    found = space(declared)
    study.sampler = build_sampler("tpe", {}, seed=1, asked=len(study.trials), distributions=found.distributions)
    drawn = []
    for _ in range(count):
        one = study.ask()
        drawn.append(found.suggest(one, FIXED))
        study.tell(one, value_of(drawn[-1]))
    return drawn


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_sampler_proposes_from_the_new_space_and_learns_from_the_past() -> None:
    past = [{"lr": 10 ** (-4 + 2 * index / 29), "depth": "head"} for index in range(30)]
    trials = [trial(number, one, value=value_of(one)) for number, one in enumerate(past)]
    wider = {**OLD, "lr": WIDER["lr"], "depth": WIDER["depth"]}
    drawn = proposals(study_of(change(trials, wider)), wider)
    assert sum(one["depth"] == "decoder" for one in drawn) > 5
    assert sum(one["lr"] > 1e-2 for one in drawn) > 20
    # Nothing good was found below 1e-3, half of the new range; one who does not know of the past looks there first.
    learned, forgotten = (
        sum(one["lr"] < 1e-3 for one in found[:10]) for found in (drawn, proposals(study_of([]), wider))
    )
    assert learned == 0
    assert forgotten >= 3
    # Optuna itself refuses the choice.
    with pytest.raises(ValueError, match="dynamic value space"):
        proposals(study_of(trials), {**OLD, "depth": WIDER["depth"]})


def test_importance_is_of_all_trials_old_and_new() -> None:
    trials = [trial(n, {"lr": 1e-4 * (1 + n), "depth": "head"}, value=n / 30) for n in range(20)]
    study = study_of(change(trials, {**OLD, "depth": WIDER["depth"]}))
    more = {"lr": space(OLD).distributions["lr"], "depth": CategoricalDistribution(("head", "decoder", "all"))}
    for n in range(10):
        study.add_trial(
            optuna.create_trial(params={"lr": 1e-3, "depth": "decoder"}, distributions=more, value=0.9 + n / 1000)
        )
    found = optuna.importance.get_param_importances(study)
    # Without the old trials every one has the same depth, and it says nothing.
    assert found["depth"] > 0.02
