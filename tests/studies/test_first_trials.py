"""search.enqueue and search.warm_start: refused with their line, made once whatever dies, taken from another study."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from search.first_trials import ENQUEUED, FIRST
from studies.files.problems import StudyFileError
from studies.files.study_file import parse_study
from studies.files.study_settings import StudySettings
from studies.running.warm_start import first_trials
from studies.stored import StudyError, open_study
from studies.workspace import Workspace
from tests.studies.commands import Call, caller
from tests.studies.prepared import FILE, NAME, make
from tests.studies.rayless import Drivers

ENQUEUE = """
  enqueue:
    - {optimizer.lr: 1e-3, optimizer.name: adamw}
    - {optimizer.lr: 2e-3}
"""
OWN = FILE.replace("search: {trials: %d, pruner: {name: none}}", "search:\n  trials: 4\n  pruner: {name: none}")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.open(make(tmp_path_factory.mktemp("other") / "w"))


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    forked = Drivers(tmp_path_factory.mktemp("drivers"))
    yield forked
    forked.close()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


def parse(more: str, *overrides: str) -> StudySettings:
    return parse_study(OWN.rstrip() + more, "my.yaml", NAME, overrides)


def test_settings_come_in_their_order_and_warm_start_has_a_short_form() -> None:
    settings = parse(ENQUEUE + "  warm_start: other\n", "search.trials=9")
    assert settings.search.enqueue == ({"optimizer.lr": 1e-3, "optimizer.name": "adamw"}, {"optimizer.lr": 2e-3})
    assert settings.search.warm_start is not None
    assert (settings.search.warm_start.study, settings.search.warm_start.trials) == ("other", 3)
    again = parse_study(settings.model_dump_json(), "study", NAME)
    assert again.search == settings.search
    first = parse("", "search.warm_start={study: other, trials: 1}").search.warm_start
    assert first is not None
    assert first.trials == 1


def by_value(trial: FrozenTrial) -> tuple[float, int]:
    assert trial.value is not None
    return -trial.value, trial.number


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("  enqueue: {optimizer.lr: 1}", "my.yaml:14: search.enqueue: got a mapping (optimizer.lr); accepted: a list"),
        ("  enqueue: [{}]", "my.yaml:14: search.enqueue[0]: names no setting; give at least one"),
        ("  enqueue: [{optimizer.lr: 1}]", "search.enqueue[0].optimizer.lr: got 1; expected a number from 0.0001"),
        ("  enqueue: [{optimizer.name: lion}]", "optimizer.name: got 'lion'; expected one of adamw, sgd"),
        ("  enqueue: [{optimizer.lrr: 1}]", "is not searched by this study; did you mean `optimizer.lr`? expected one"),
        ("  enqueue: [{batch_size: 4}]", "batch_size: is not searched by this study; expected one of optimizer.lr, op"),
        (
            "  enqueue:\n    - {optimizer.lr: 1e-3}\n    - {optimizer.name: adamw, optimizer.momentum: 0.6}",
            "my.yaml:16: search.enqueue[1].optimizer.momentum: would be ignored: it is searched only while "
            "optimizer.name is sgd, and not while it is adamw",
        ),
        (
            "  enqueue: [{optimizer.momentum: 0.6}]",
            "would be ignored: it is searched only while optimizer.name is sgd; give a value for it too",
        ),
        (f"  warm_start: {NAME}", "search.warm_start: got 'prepared', which is this study itself"),
        ("  warm_start: {study: a, trial: 1}", "search.warm_start.trial: unknown key; did you mean `trials`?"),
        (
            "  warm_start: 3",
            "search.warm_start: got 3; accepted: a mapping with the keys study, trials or text or null",
        ),
        ("  warm_start: {study: a, trials: 0}", "search.warm_start.trials: got 0; accepted: an integer > 0"),
    ],
)
def test_what_is_no_first_trial_is_refused_with_its_line(more: str, message: str) -> None:
    with pytest.raises(StudyFileError, match=r".") as refused:
        parse(f"\n{more}\n")
    assert message in str(refused.value)


def test_a_budget_smaller_than_the_first_trials_is_refused_and_a_grid_takes_none() -> None:
    with pytest.raises(
        StudyFileError, match=r"search.trials=1: got 1; expected at least 2: the first trials, 2 of sear"
    ):
        parse(ENQUEUE, "search.trials=1")
    with pytest.raises(StudyFileError, match=r"2 of search.enqueue and 3 of search.warm_start, count"):
        parse(ENQUEUE, "search.warm_start=a")
    with pytest.raises(StudyFileError, match=r"search.enqueue: the study searches a grid"):
        parse(ENQUEUE, "search.sampler.name=grid", "space.optimizer.lr={choices: [1e-3, 2e-3]}")


# Before the settings are kept, after that, and after each of the two was made.
@pytest.mark.slow
@pytest.mark.parametrize("after", [8, 10, 12, 14])
def test_a_driver_that_dies_when_it_begins_leaves_each_first_trial_once(
    drivers: Drivers, tmp_path: Path, after: int
) -> None:
    root = drivers.workspace(tmp_path / "w")
    text = OWN.replace("trials: 4", "trials: 3") + ENQUEUE.lstrip("\n")
    assert drivers.drive(root, text, after=after) == -9
    assert len(open_study(NAME, Workspace.open(root)).trials) == max(0, (after - 10) // 2)
    assert drivers.drive(root, text) == 0
    trials = open_study(NAME, Workspace.open(root)).trials
    assert [trial.user_attrs.get(ENQUEUED) for trial in trials] == ["search.enqueue[0]", "search.enqueue[1]", None]
    assert all(trial.state is TrialState.COMPLETE for trial in trials)
    assert trials[0].params == {"optimizer.lr": 1e-3, "optimizer.name": "adamw"}
    assert trials[1].params["optimizer.lr"] == 2e-3
    # What was not named is sampled.
    assert "optimizer.name" in trials[1].params


def test_the_best_of_another_study_come_after_the_own_and_are_told(other: Workspace) -> None:
    best = sorted(open_study(NAME, other).trials, key=by_value)
    values = best[0].params
    settings = parse(
        f"\n  enqueue: [{{optimizer.lr: {values['optimizer.lr']!r}, optimizer.name: {values['optimizer.name']}}}]\n",
        "name=new", "search.warm_start={study: prepared, trials: 2}", "space.optimizer.momentum=null",
        "trial.optimizer.momentum=0.8",
    )  # fmt: skip
    found = first_trials(settings, other)
    assert found.trials[0].by == "search.enqueue[0]"
    assert [one.by for one in found.trials[1:]] == [f"search.warm_start: trial {best[1].number} of {NAME}"]
    assert found.trials[1].values == {path: best[1].params[path] for path in ("optimizer.lr", "optimizer.name")}
    assert found.lines[0] == (
        f"search.warm_start: study 'prepared': begins with the settings of trials {best[1].number} (mIoU "
        f"{best[1].value:.4f}); 1 more are the same as these or as search.enqueue"
    )


def test_nothing_to_take_is_refused(other: Workspace, tmp_path: Path) -> None:
    far = parse("", "name=new", "search.warm_start=prepared", "space={optimizer.lr: {low: 1, high: 2}}")
    with pytest.raises(
        StudyError, match=r"warm_start: nothing of study 'prepared' lies in this space:\n  optimizer.name: se"
    ):
        first_trials(far, other)
    with pytest.raises(StudyError, match=r"search.warm_start: no study 'none' in .*expected one of: 'prepared'"):
        first_trials(parse("", "name=new", "search.warm_start=none"), other)


def test_a_launch_that_can_take_nothing_leaves_nothing(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(OWN + "  warm_start: none\n")
    code, _, err = call("launch", str(file), "--name", "new", "--workspace", str(tmp_path / "w"))
    assert code == 2
    assert "no studies here: expected Optuna's journal" in err
    assert list((tmp_path / "w").iterdir()) == []


def test_validate_says_what_is_taken_and_where_it_could_not_look(call: Call, other: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(OWN.replace(f"name: {NAME}", "name: new") + "  warm_start: {study: prepared, trials: 1}\n")
    code, out, err = call("validate", str(file), "--workspace", str(other.root))
    assert (code, err) == (0, "")
    assert "search.warm_start: study 'prepared': begins with the settings of trials " in out
    code, out, err = call("validate", str(file), "--workspace", str(tmp_path / "elsewhere"))
    assert (code, err) == (0, "")
    assert "search.warm_start: not checked, since its study cannot be reached: no studies here" in out
    code, _, err = call("validate", str(file), "--set", "search.warm_start=no", "--workspace", str(other.root))
    assert code == 2
    assert "no study 'no'" in err


@pytest.mark.slow
def test_a_warm_study_remembers_what_it_was_given(drivers: Drivers, other: Workspace) -> None:
    text = OWN.replace(f"name: {NAME}", "name: new") + "  warm_start: {study: prepared, trials: 2}\n"
    assert drivers.drive(other.root, text) == 0
    study = open_study("new", other)
    assert [one["by"].rpartition(" of ")[2] for one in study.user_attrs[FIRST]] == [NAME, NAME]
    best = sorted(open_study(NAME, other).trials, key=by_value)
    assert [trial.params for trial in study.trials[:2]] == [trial.params for trial in best[:2]]
