"""Changing the space of a study under way, past trials kept; a process killed in the middle of it is repaired."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from benchmarks.check_study import check_study
from benchmarks.records import read_records
from search.copying import read_content, trial_data, write_content
from search.lease import open_lease
from search.records.study import read_study
from search.replacing import COPY
from search.storage import open_storage
from studies.files.study_file import parse_study
from studies.files.study_settings import CONFIRM
from studies.promotion.vault import TestVault, promoted_trials
from studies.stored import StudyError, load_settings, open_study, study_names
from studies.upkeep.changing import CHANGES, change_space
from studies.workspace import Workspace
from tests.servers import Postgres
from tests.studies.commands import Call, caller
from tests.studies.prepared import EPOCHS, FILE, NAME, copied
from tests.studies.rayless import CHANGED_TRIALS, Drivers

pytestmark = pytest.mark.slow

WIDER = ["space.optimizer.lr.high=0.1", "space.optimizer.name.choices=[adamw,sgd,adam]"]
MORE = [*WIDER, "space.optimizer.weight_decay.low=0.0", "space.optimizer.weight_decay.high=0.1"]


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    drivers = Drivers(tmp_path_factory.mktemp("tables"))
    yield drivers
    drivers.close()


@pytest.fixture(scope="module")
def done(drivers: Drivers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = drivers.workspace(tmp_path_factory.mktemp("done") / "w")
    assert drivers.drive(root, FILE % 4) == 0
    return root


@pytest.fixture
def place(done: Path, tmp_path: Path) -> Workspace:
    """A workspace with a study of four trials, one that was interrupted and one that was enqueued."""
    place = copied(done, tmp_path / "w")
    study = open_study(NAME, place, write=True)
    settings = study.user_attrs["study"]
    study.set_user_attr("study", {**settings, "search": {**settings["search"], "trials": 8}})
    # Given, not drawn: with sgd it would lack a momentum, and so not have begun.
    study.enqueue_trial({"optimizer.lr": 2e-3, "optimizer.name": "adamw"})
    started = study.ask()
    started.suggest_float("optimizer.lr", 1e-4, 1e-2, log=True)
    started.suggest_categorical("optimizer.name", ["adamw", "sgd"])
    started.set_user_attr("audit", False)
    study.enqueue_trial({"optimizer.lr": 1e-3})
    assert len(study.trials) == CHANGED_TRIALS
    return place


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


def without_distributions(study: optuna.Study) -> list[dict[str, Any]]:
    return [{**trial_data(trial), "distributions": None} for trial in study.trials]


def highest(trial: FrozenTrial) -> float:
    """The upper end of the learning rate's range."""
    distribution = trial.distributions["optimizer.lr"]
    assert isinstance(distribution, FloatDistribution)
    return distribution.high


def go_on(drivers: Drivers, place: Workspace) -> None:
    """What `contourney resume` does, without Ray."""
    assert drivers.drive(place.root, json.dumps(load_settings(NAME, place).resolved())) == 0


def test_a_wider_space_is_told_and_searched_and_the_records_agree(
    call: Call, drivers: Drivers, place: Workspace
) -> None:
    TestVault(place.storage, "f" * 64).open({"study": NAME, "trial": 2, "weights": "w"}, again=None)
    study = open_study(NAME, place, write=True)
    study.set_user_attr("promotion", {"trial": 1})
    before, attributes = without_distributions(study), study.user_attrs
    sets = [word for assignment in WIDER for word in ("--set", assignment)]
    code, out, err = call("change", NAME, *sets, "--workspace", str(place.root))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "optimizer.lr: was low 0.0001, high 0.01, log true, now low 0.0001, high 0.1, log true",
        'optimizer.name: was choices ["adamw", "sgd"], now choices ["adamw", "sgd", "adam"]',
        f"the space of study '{NAME}' is changed; its {CHANGED_TRIALS} trials are kept and count in it",
        f"next: contourney resume {NAME} --workspace {place.root}",
    ]
    study = open_study(NAME, place)
    after = without_distributions(study)
    # The trial that ran when its driver died waits, with its values.
    assert after[4] | {"state": "RUNNING", "user_attrs": before[4]["user_attrs"]} == before[4]
    assert [*after[:4], after[5]] == [*before[:4], before[5]]
    names = CategoricalDistribution(("adamw", "sgd", "adam"))
    assert [trial.distributions["optimizer.name"] for trial in study.trials[:5]] == [names] * 5
    assert {highest(trial) for trial in study.trials[:5]} == {0.1}
    kept = {key: value for key, value in study.user_attrs.items() if key not in ("study", CHANGES)}
    assert kept == {key: value for key, value in attributes.items() if key != "study"}
    assert [one["before"] for one in study.user_attrs[CHANGES]] == [attributes["study"]["space"]]
    assert promoted_trials(study) == {1, 2}
    go_on(drivers, place)
    records = read_records(place.root, NAME)
    check_study(records, 8, EPOCHS, least_pruned=0)
    assert records.trials[5].params["optimizer.lr"] == 1e-3
    assert {highest(trial) for trial in records.trials} == {0.1}
    # What was proposed before is not proposed again.
    assert len({tuple(sorted(trial.params.items())) for trial in records.trials}) == 8


def test_a_new_parameter_stands_in_past_trials_with_what_they_ran_with(
    call: Call, drivers: Drivers, place: Workspace
) -> None:
    fixed = load_settings(NAME, place).trial.optimizer.weight_decay
    sets = [word for assignment in MORE for word in ("--set", assignment)]
    code, out, err = call("change", NAME, *sets, "--workspace", str(place.root))
    assert code == 0, err
    assert "optimizer.weight_decay: new, low 0.0, high 0.1\n  5 past trials have the value that they ran with" in out
    client = MlflowClient(place.tracking)
    [experiment] = [one.experiment_id for one in client.search_experiments() if one.name == NAME]
    runs = client.search_runs([experiment], "tags.mlflow.parentRunId != ''")
    assert [run.data.params["optimizer.weight_decay"] for run in runs] == [str(fixed)] * 5
    go_on(drivers, place)
    trials = read_records(place.root, NAME).trials
    # The interrupted trial went on with it, the others were drawn.
    assert [trial.params["optimizer.weight_decay"] for trial in trials[:5]] == [fixed] * 5
    assert fixed not in {trial.params["optimizer.weight_decay"] for trial in trials[5:]}
    check_study(read_records(place.root, NAME), 8, EPOCHS, least_pruned=0)
    importances = optuna.importance.get_param_importances(open_study(NAME, place))
    assert set(importances) >= {"optimizer.lr", "optimizer.name", "optimizer.weight_decay"}
    # A second change keeps the history.
    change_space(NAME, place, ["space.optimizer.lr.high=0.2"], pytest.fail)
    assert len(open_study(NAME, place).user_attrs[CHANGES]) == 2


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            ["space.optimizer.lr.low=5e-3"],
            "the new space must hold every past trial, and leaves some out:\n  optimizer",
        ),
        (["space.optimizer.name.choices=[sgd,adam]"], "got 'adamw'; expected one of sgd, adam"),
        (["space.optimizer.lr=null"], "space.optimizer.lr: a parameter that is searched cannot be taken out"),
        (["space.optimizer.lr.hihg=1"], "optimizer.lr.hihg"),
        (["space.optimizer.momentun.low=1"], "did you mean `optimizer.momentum`"),
        (["space.optimizer.lr.high=oops"], "got the text 'oops'"),
        (["space.optimizer.lr.high=0.01"], f"the space of study '{NAME}' is this already; nothing was changed"),
        (["trial.epochs=9"], "trial.epochs: only the space of a study can be changed"),
        ([*WIDER, "search.sampler.name=random"], "search.sampler.name: only the space of a study can be changed"),
        (["search.trials=90"], "search.trials: the budget is raised by `contourney extend`"),
        (["space.optimizer.lr"], "expected PATH=VALUE"),
    ],
)
def test_what_cannot_be_changed_is_refused_and_nothing_is(
    call: Call, place: Workspace, assignments: list[str], message: str
) -> None:
    place_of = without_distributions
    before, attributes = place_of(open_study(NAME, place)), open_study(NAME, place).user_attrs
    sets = [word for assignment in assignments for word in ("--set", assignment)]
    code, out, err = call("change", NAME, *sets, "--workspace", str(place.root))
    assert (code, out) == (2, "")
    assert message in err
    study = open_study(NAME, place)
    assert study.user_attrs == attributes
    assert [one["params"] for one in place_of(study)] == [one["params"] for one in before]
    assert names(place) == [NAME]


@pytest.mark.parametrize("sampler", ["grid", "cmaes", "qmc"])
def test_samplers_that_are_bound_to_their_space_take_no_other(place: Workspace, sampler: str) -> None:
    study = open_study(NAME, place, write=True)
    stored = study.user_attrs["study"]
    study.set_user_attr("study", {**stored, "search": {**stored["search"], "sampler": {"name": sampler}}})
    with pytest.raises(StudyError, match=f"is searched by {sampler}, which takes no other space: .*launch another"):
        change_space(NAME, place, WIDER, pytest.fail)


def test_a_study_that_runs_or_is_none_of_ours_is_refused(call: Call, place: Workspace) -> None:
    wanted = ("--set", WIDER[0], "--workspace", str(place.root))
    with open_lease(place.storage, NAME):
        code, _, err = call("change", NAME, *wanted)
    assert code == 2
    assert f"study '{NAME}' is being run by process" in err
    assert call("change", "other", *wanted)[0] == 2
    assert load_settings(NAME, place).space["optimizer.lr"].high == 0.01


def test_no_study_may_be_called_like_a_copy() -> None:
    with pytest.raises(ValueError, match=f"names that end in {COPY} belong to studies that are being changed"):
        parse_study(FILE % 3, "study.yaml", NAME, [f"name=mine{COPY}"])


def names(place: Workspace) -> list[str]:
    return sorted(optuna.get_all_study_names(open_storage(place.storage)))


def seen(study: Any) -> tuple[Any, Any]:
    """What tells an old study from a new one, and half a study from a whole one."""
    return study.user_attrs["study"]["space"], [trial.distributions for trial in study.trials]


def open_again(how: str, call: Call, place: Workspace) -> str:
    """Open the study with a command; returns what it says."""
    where = ("--workspace", str(place.root))
    words = {
        "status": ("status", NAME),
        "list": ("list",),
        "change": ("change", NAME, "--set", "space.optimizer.lr.high=0.5"),
        "delete": ("delete", NAME, "--yes"),
    }[how]
    code, out, err = call(*words, *where)
    assert code == 0, err
    return out + err


@pytest.mark.parametrize(
    ("point", "how"),
    [
        ("half-of-the-copy", "list"),
        ("copy-ready", "change"),
        ("original-deleted", "status"),
        ("half-of-the-rewriting", "status"),
        ("before-the-copy-goes", "delete"),
    ],
)
def test_a_kill_at_a_named_point_is_repaired_at_the_next_open(
    point: str, how: str, drivers: Drivers, call: Call, place: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    before = seen(open_study(NAME, place))
    assert drivers.change(place.root, NAME, WIDER, at=point) == -signal.SIGKILL
    assert NAME + COPY in names(place)
    # As long as the process that changes it lives, it holds the lease: others see the old or the new one, whole.
    with open_lease(place.storage, NAME):
        assert study_names(place) == [NAME]
        code, out, _ = call("list", "--workspace", str(place.root))
        assert code == 0
        assert COPY not in out
        study = open_study(NAME, place)
        assert study.study_name == NAME
        meanwhile = seen(study)
        record = read_study(place.storage, NAME)
        assert record.name == NAME
        assert len(record.trials) == len(study.trials) == CHANGED_TRIALS
        assert record.settings["space"] == meanwhile[0]
        with pytest.raises(StudyError, match="is being changed by another process at this moment; try again"):
            open_study(NAME, place, write=True)
    undone = point == "half-of-the-copy"
    assert (meanwhile == before) == undone
    said = open_again(how, call, place)
    assert COPY not in said
    told = "undone: it had only begun" if undone else "completed"
    assert f"study '{NAME}' was being changed by a process that died; the change is {told}" in caplog.text
    assert names(place) == ([] if how == "delete" else [NAME])
    if how == "delete":
        return
    if how == "status":
        assert seen(open_study(NAME, place)) == meanwhile
    go_on(drivers, place)
    check_study(read_records(place.root, NAME), 8, EPOCHS, least_pruned=0)


def test_a_study_in_a_database_is_changed_with_its_rows_left_alone(
    place: Workspace, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()
    storage = open_storage(url, write=True)
    study = open_study(NAME, place)
    write_content(read_content(study), NAME, storage)
    rows = optuna.create_study(study_name=NAME + CONFIRM, storage=storage)
    rows.enqueue_trial({}, user_attrs={"role": "row"})
    monkeypatch.setenv("OPTUNA_STORAGE", url)
    there = Workspace.open(place.root)
    said: list[str] = []
    done = change_space(NAME, there, WIDER, said.append)
    assert (done.trials, said) == (CHANGED_TRIALS, [])
    assert names(there) == [NAME, NAME + CONFIRM]
    changed = open_study(NAME, there)
    assert highest(changed.trials[0]) == 0.1
    assert [trial.params for trial in changed.trials] == [trial.params for trial in study.trials]
    assert changed.trials[4].state is TrialState.WAITING
    assert [trial.number for trial in rows.trials] == [0]
