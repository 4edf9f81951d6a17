"""The space: distributions, conditions in topological order, and every refused declaration."""

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.space import Space, setting
from search.space_settings import ParameterSettings, SpaceError

KINDS = {"a.x": float, "a.n": int, "a.kind": str, "a.flag": bool, "b.depth": str, "b.y": float}
FIXED = {"a": {"x": 0.5, "n": 3, "kind": "plain", "flag": False}, "b": {"depth": "all", "y": 1.0}}


def declare(**parameters):
    return Space.declare({path.replace("__", "."): ParameterSettings(**p) for path, p in parameters.items()}, KINDS)


def ask(space, fixed=FIXED, sampler=None):
    study = optuna.create_study(sampler=sampler or optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    return space.suggest(trial, fixed), trial


def test_kinds_decide_between_integer_and_float():
    space = declare(a__x={"low": 1, "high": 4}, a__n={"low": 1, "high": 4}, a__kind={"choices": ["p", "q"]})
    assert space.distributions == {
        "a.x": FloatDistribution(1.0, 4.0),
        "a.n": IntDistribution(1, 4),
        "a.kind": CategoricalDistribution(("p", "q")),
    }


def test_log_and_step():
    space = declare(a__x={"low": 1e-4, "high": 1.0, "log": True}, b__y={"low": 0, "high": 0.9, "step": 0.3})
    assert space.distributions["a.x"] == FloatDistribution(1e-4, 1.0, log=True)
    assert space.distributions["b.y"] == FloatDistribution(0.0, 0.9, step=0.3)


def test_choices_of_a_float_are_floats():
    (choices,) = (d.choices for d in declare(a__x={"choices": [1, 0.5]}).distributions.values())
    assert [type(choice) for choice in choices] == [float, float]


def test_suggest_asks_only_what_is_active_and_parents_first():
    space = declare(
        a__x={"low": 0.0, "high": 1.0, "when": {"a.kind": ["fancy", "other"]}}, a__kind={"choices": ["plain", "fancy"]}
    )
    assert [parameter.path for parameter in space] == ["a.kind", "a.x"]
    seen = set()
    for seed in range(20):
        values, trial = ask(space, sampler=optuna.samplers.RandomSampler(seed=seed))
        assert values == trial.params
        assert ("a.x" in values) == (values["a.kind"] == "fancy")
        seen.add(values["a.kind"])
    assert seen == {"plain", "fancy"}


def test_a_condition_may_name_a_fixed_setting():
    space = declare(a__x={"low": 0.0, "high": 1.0, "when": {"b.depth": "all", "a.flag": False}})
    assert "a.x" in ask(space)[0]
    assert ask(space, {**FIXED, "b": {"depth": "head", "y": 1.0}})[0] == {}


def test_an_inactive_parent_keeps_its_fixed_value():
    space = declare(
        a__kind={"choices": ["plain", "fancy"], "when": {"b.depth": "head"}},
        a__x={"low": 0.0, "high": 1.0, "when": {"a.kind": "plain"}},
    )
    # a.kind is not searched and stays `plain`, so a.x is.
    assert set(ask(space)[0]) == {"a.x"}


def test_all_conditions_must_hold():
    space = declare(a__x={"low": 0.0, "high": 1.0, "when": {"b.depth": "all", "a.kind": "fancy"}})
    assert ask(space)[0] == {}


def test_true_is_not_one():
    space = declare(a__x={"low": 0.0, "high": 1.0, "when": {"a.flag": [0]}})
    assert ask(space)[0] == {}


def test_active_drops_what_the_values_switch_off():
    space = declare(
        a__kind={"choices": ["plain", "fancy"]}, a__x={"low": 0.0, "high": 1.0, "when": {"a.kind": "fancy"}}
    )
    assert space.active({"a.kind": "plain", "a.x": 0.5}, FIXED) == {"a.kind": "plain"}
    assert space.active({"a.x": 0.5, "a.kind": "fancy"}, FIXED) == {"a.kind": "fancy", "a.x": 0.5}


def test_apply_copies():
    space = declare(a__x={"low": 0.0, "high": 1.0})
    result = space.apply(FIXED, {"a.x": 0.25, "b.depth": "head"})
    assert result == {"a": {**FIXED["a"], "x": 0.25}, "b": {"depth": "head", "y": 1.0}}
    assert FIXED["a"]["x"] == 0.5
    result["a"]["n"] = 99
    assert FIXED["a"]["n"] == 3


def test_apply_refuses_a_path_that_does_not_exist():
    with pytest.raises(SpaceError, match=r"a\.z: is no setting"):
        declare(a__x={"low": 0.0, "high": 1.0}).apply(FIXED, {"a.z": 1})


def test_live_drops_what_can_never_be_searched():
    space = declare(
        a__kind={"choices": ["plain", "fancy"]},
        a__x={"low": 0.0, "high": 1.0, "when": {"b.depth": "head"}},
        b__y={"low": 0.0, "high": 1.0, "when": {"a.x": 0.5}},
        a__n={"low": 1, "high": 4, "when": {"a.x": 0.25}},
        a__flag={"choices": [True], "when": {"a.kind": "fancy"}},
    )
    # a.x stays 0.5: what waits for another value of it never comes.
    assert set(space.live(FIXED).distributions) == {"a.kind", "b.y", "a.flag"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"a__z": {"low": 0, "high": 1}}, r"a\.z: is no setting that can be searched"),
        ({"a__x": {}}, r"a\.x: expected `low` and `high`, or `choices`; got neither"),
        ({"a__x": {"low": 1}}, r"a\.x: expected `low` and `high`, or `choices`; got only `low`"),
        ({"a__x": {"low": 1, "high": 2, "choices": [1]}}, r"has both `choices` and `low`"),
        ({"a__x": {"choices": [1.0], "log": True}}, r"has both `choices` and `log`"),
        ({"a__x": {"low": 2, "high": 1}}, r"low 2 is above high 1"),
        ({"a__x": {"low": 0, "high": 1, "log": True}}, r"low is 0; with `log: true` it must be above 0"),
        ({"a__x": {"low": 1, "high": 2, "log": True, "step": 1}}, r"`log: true` and a `step`"),
        ({"a__x": {"low": 0, "high": 1, "step": 0.3}}, r"steps of 0\.3 from 0 end at 0\.9, not at high 1"),
        ({"a__x": {"low": 0, "high": 1, "step": -0.5}}, r"step is -0\.5; expected a number above 0"),
        ({"a__x": {"low": 0, "high": 1e28, "step": 1}}, r"are more than 1000000 values"),
        ({"a__n": {"low": 1, "high": 4.0}}, r"a\.n: is an integer, high is 4\.0; write 4"),
        ({"a__n": {"low": 1, "high": 4.5}}, r"a\.n: is an integer, high is 4\.5$"),
        ({"a__kind": {"low": 1, "high": 4}}, r"a\.kind: is no number, so it has no range"),
        ({"a__flag": {"low": 0, "high": 1}}, r"expected `choices: \[false, true\]`"),
        ({"a__kind": {"choices": []}}, r"`choices` is empty"),
        ({"a__x": {"choices": [1, 1.0]}}, r"are the same value"),
        ({"a__x": {"low": 0, "high": 1, "when": {"a.q": 1}}}, r"`when` names a\.q, which is no setting"),
        ({"a__x": {"low": 0, "high": 1, "when": {"a.n": []}}}, r"gives no value for a\.n"),
        ({"a__x": {"low": 0, "high": 1, "when": {"a.x": 1}}}, r"in a circle: a\.x -> a\.x"),
        (
            {
                "a__x": {"low": 0, "high": 1, "when": {"a.kind": "p"}},
                "a__kind": {"choices": ["p"], "when": {"b.depth": "all"}},
                "b__depth": {"choices": ["all"], "when": {"a.x": 1}},
            },
            r"in a circle: (a\.x -> a\.kind -> b\.depth -> a\.x|a\.kind -> b\.depth -> a\.x -> a\.kind"
            r"|b\.depth -> a\.x -> a\.kind -> b\.depth)",
        ),
    ],
)
def test_refused_declarations(parameters, message):
    with pytest.raises(SpaceError, match=message):
        declare(**parameters)


def test_setting_reads_nested_values():
    assert setting(FIXED, "b.depth") == "all"
    with pytest.raises(SpaceError, match=r"b\.depth\.x: is no setting"):
        setting(FIXED, "b.depth.x")


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.booleans()), max_size=12), st.integers(0, 2**16))
def test_any_acyclic_space_is_asked_in_order_and_consistently(edges, seed):
    # Conditions go from a later to an earlier name, declared in reverse, so the order has to be found.
    kinds = {f"p{i}": bool for i in range(8)}
    when = {f"p{i}": {} for i in range(8)}
    for left, right, value in edges:
        if left != right:
            when[f"p{max(left, right)}"][f"p{min(left, right)}"] = value
    declared = {p: ParameterSettings(choices=(False, True), when=when[p]) for p in reversed(kinds)}
    space = Space.declare(declared, kinds)
    fixed = dict.fromkeys(kinds, False)
    values, trial = ask(space, fixed, optuna.samplers.RandomSampler(seed=seed))
    applied = space.apply(fixed, values)
    for path, conditions in when.items():
        assert (path in values) == all(applied[other] == value for other, value in conditions.items())
    assert space.active(values, fixed) == values == trial.params
