"""A study written again: in a journal, SQLite and a real PostgreSQL, from each into each."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.copying import CopyError, StudyContent, find_difference, read_content, trial_data, write_content
from search.storage import open_storage
from tests.search.tabulated import open_bridge, run_side_by_side

TRIALS = {"tpe": 14, "nsgaii": 60}


def fill(storage: str, sampler: str = "tpe") -> optuna.Study:
    """A study with trials of every state, as our bridge leaves them, and what else users put into one."""
    study = optuna.create_study(study_name="s", storage=open_storage(storage, write=True), direction="maximize")
    study.set_user_attr("study", {"name": "Ölçü", "space": {"lr": {"low": 1e-5, "high": 0.1}}, "nothing": None})
    study.set_user_attr("request/1", {"stop": {"trial": 3}})
    bridge = open_bridge(study, trials=TRIALS[sampler], sampler=sampler, audit=0.3)
    run_side_by_side(bridge, workers=3, stop_after=40 if sampler == "tpe" else 10**6)
    failed = study.ask()
    failed.suggest_float("lr", 1e-5, 1e-1, log=True)
    failed.report(float("nan"), 1)
    failed.report(float("inf"), 2)
    failed.set_user_attr("error", "Traceback\n" * 500)
    failed.set_constraint("diverged", 1.0)
    study.tell(failed, state=TrialState.FAIL)
    pruned = study.ask()
    pruned.report(0.1, 1)
    study.tell(pruned, state=TrialState.PRUNED)
    study.ask()
    bridge.interrupt()
    study.enqueue_trial({"lr": 1e-3, "depth": "all"}, user_attrs={"enqueued": "request/2"})
    return study


@pytest.fixture
def places(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """A new storage of a kind."""
    numbers = itertools.count()

    def place(kind: str) -> str:
        if kind == "postgresql":
            return str(request.getfixturevalue("postgres").database())
        path = tmp_path / f"{next(numbers)}.{kind}"
        return str(path) if kind == "journal" else f"sqlite:///{path}"

    return place


PAIRS = [(one, other) for one in ("journal", "postgresql") for other in ("journal", "postgresql")]


@pytest.mark.parametrize(("source", "target"), [*PAIRS, ("sqlite", "sqlite")])
def test_a_study_is_copied_whole(source: str, target: str, places: Callable[[str], str]) -> None:
    original = fill(places(source))
    content = read_content(original)
    assert {trial.state for trial in content.trials} == set(TrialState)
    there = places(target)
    write_content(content, "s/copy", open_storage(there, write=True))
    # Read by another one, and by Optuna's own eyes.
    copy = optuna.load_study(study_name="s/copy", storage=open_storage(there))
    assert find_difference(content, read_content(copy)) is None
    assert [seen(trial) for trial in copy.trials] == [seen(trial) for trial in original.trials]
    assert copy.user_attrs == original.user_attrs
    assert copy.directions == original.directions
    assert copy.best_trial.number == original.best_trial.number


def seen(trial: FrozenTrial) -> list[Any]:
    curve = {step: "nan" if math.isnan(value) else value for step, value in trial.intermediate_values.items()}
    return [
        trial.number, trial.state, trial.values, trial.params, trial.distributions, trial.user_attrs, curve,
        trial.datetime_start, trial.datetime_complete, trial.constraints,
    ]  # fmt: skip


def test_a_copy_goes_on_as_the_original_would(tmp_path: Path) -> None:
    original = fill(str(tmp_path / "one"))
    storage = open_storage(str(tmp_path / "other"), write=True)
    copy = write_content(read_content(original), "s", storage)
    for study in (original, copy):
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        run_side_by_side(open_bridge(study, trials=25, sampler="tpe", pruner="median", audit=0.3), workers=3)
    assert [(one.params, one.values, one.state) for one in copy.trials] == [
        (one.params, one.values, one.state) for one in original.trials
    ]


def test_the_parents_of_a_genetic_search_stay_the_same_trials(tmp_path: Path) -> None:
    original = fill(str(tmp_path / "one"), "nsgaii")
    content = read_content(original)
    storage = open_storage(str(tmp_path / "other"), write=True)
    write_content(content, "before", storage)
    copy = write_content(content, "s", storage)
    found = [[trial.number for trial in NSGAIISampler().get_parent_population(study, 1)] for study in (original, copy)]
    assert len(found[0]) == 50
    assert found[0] == found[1]


def test_a_taken_name_is_refused_and_left_alone(tmp_path: Path) -> None:
    study = fill(str(tmp_path / "one"))
    content = read_content(study)
    with pytest.raises(CopyError, match="there is a study 's' already"):
        write_content(content, "s", study._storage)
    assert find_difference(content, read_content(study)) is None


def test_what_is_not_written_as_it_was_read_is_found(tmp_path: Path) -> None:
    study = fill(str(tmp_path / "one"))
    content = read_content(study)
    # Numbers are the storage's own: a study with a gap cannot be written again.
    gap = replace(content, trials=[trial for trial in content.trials if trial.number != 1])
    with pytest.raises(CopyError, match="trial 2 was not written to 'gap' as it was read"):
        write_content(gap, "gap", study._storage)


TRIAL = create_trial(
    params={"lr": 0.1},
    distributions={"lr": optuna.distributions.FloatDistribution(0.01, 1.0)},
    value=0.5,
    user_attrs={"reason": "done"},
    intermediate_values={1: 0.25, 2: float("nan")},
)
CONTENT = StudyContent([optuna.study.StudyDirection.MAXIMIZE], {"a": 1}, {"b": [2]}, [TRIAL])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, None),
        ({"directions": [optuna.study.StudyDirection.MINIMIZE]}, "directions"),
        ({"user_attrs": {}}, "user_attrs"),
        ({"system_attrs": {"b": [3]}}, "system_attrs"),
        ({"trials": []}, "the number of trials, 1,"),
    ],
)
def test_studies_differ_by_anything(changed: dict[str, Any], told: str | None) -> None:
    assert find_difference(CONTENT, replace(CONTENT, **changed)) == told


@pytest.mark.parametrize(
    "change",
    [
        {"number": 1}, {"state": TrialState.PRUNED}, {"value": 0.5000000000000001}, {"datetime_start": None},
        {"params": {"lr": 0.2}}, {"user_attrs": {}}, {"system_attrs": {"c": 1}}, {"intermediate_values": {1: 0.25}},
        {"distributions": {"lr": optuna.distributions.FloatDistribution(0.01, 2.0)}},
    ],
)  # fmt: skip
def test_trials_differ_by_anything(change: dict[str, Any]) -> None:
    other = FrozenTrial(**{
        "number": TRIAL.number, "state": TRIAL.state, "value": TRIAL.value, "datetime_start": TRIAL.datetime_start,
        "datetime_complete": TRIAL.datetime_complete, "params": TRIAL.params, "distributions": TRIAL.distributions,
        "user_attrs": TRIAL.user_attrs, "system_attrs": TRIAL.system_attrs,
        "intermediate_values": TRIAL.intermediate_values, "trial_id": 7, **change,
    })  # fmt: skip
    assert find_difference(CONTENT, replace(CONTENT, trials=[other])) == f"trial {TRIAL.number}"
    assert trial_data(other).keys() == trial_data(TRIAL).keys()
