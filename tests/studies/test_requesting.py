"""enqueue, stop and extend from another process: with no driver, with one that holds the lease, with a real one."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from search.budget import Budget
from search.lease import open_lease
from search.requests import Enqueue, Extend, Stop, answer_to, post
from studies.stored import open_study
from studies.upkeep import requesting
from studies.upkeep.requesting import Answer, Requests, check_enqueue, request, void_stops
from studies.workspace import Workspace
from tests.search.tabulated import Records
from tests.search.tabulated import open_bridge as open_tabulated
from tests.servers import wait_for
from tests.studies.commands import Call, caller
from tests.studies.prepared import NAME, copied, make, settings
from tests.studies.running import ROOT, command, contourney, environment, ready


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("done") / "w")


@pytest.fixture
def place(done: Path, tmp_path: Path) -> Workspace:
    return copied(done, tmp_path / "w")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


def silent(text: str) -> None:
    pytest.fail(text)


def test_with_no_driver_a_trial_is_enqueued_at_once_and_counts(call: Call, place: Workspace) -> None:
    root = str(place.root)
    spent = call("enqueue", NAME, "optimizer.lr=1e-3", "--workspace", root)
    assert spent[0] == 2
    assert "the 4 trials of study 'prepared' have ended or are in hand" in spent[2]
    assert "contourney extend prepared --trials 5" in spent[2]
    assert len(open_study(NAME, place).trials) == 4
    assert request(NAME, place, Extend(6), silent).outcome == "the budget is 6 trials"
    code, out, err = call("enqueue", NAME, "optimizer.lr=1e-3", "optimizer.name=adamw", "--workspace", root)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "trial 4 waits with these values",
        f"no driver is running; go on with: contourney resume prepared --workspace {root}",
    ]
    trial = open_study(NAME, place).trials[4]
    assert trial.state is TrialState.WAITING
    assert trial.system_attrs["fixed_params"] == {"optimizer.lr": 1e-3, "optimizer.name": "adamw"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["optimizer.lr=1"], "optimizer.lr: got 1; expected a number from 0.0001 to 0.01"),
        (["optimizer.lr"], "'optimizer.lr': expected KEY=VALUE"),
        (["optimizer.lr=[1"], "expected KEY=VALUE"),
        (["trial.epochs=4"], "is not searched by this study; expected one of optimizer.lr"),
        (["optimizer.momentum=0.6"], "only while optimizer.name is sgd; give a value for it too"),
    ],
)
def test_what_is_no_point_of_the_space_is_refused(
    call: Call, place: Workspace, values: list[str], message: str
) -> None:
    before = open_study(NAME, place).user_attrs
    code, _, err = call("enqueue", NAME, *values, "--workspace", str(place.root))
    assert code == 2
    assert message in err
    assert open_study(NAME, place).user_attrs == before


def test_a_crash_between_enqueueing_and_marking_leaves_one_trial(place: Workspace) -> None:
    study = open_study(NAME, place, write=True)
    key = post(study, check_enqueue_of(place))
    with open_lease(place.storage, NAME):
        requests = Requests(study, settings(), Budget(9, None))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(study, "set_user_attr", lambda key, value: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                requests.take()
        assert len(study.trials) == 5
        requests.take()
        requests.take()
    assert len(study.trials) == 5
    assert answer_to(study, key) == "trial 4 waits with these values"


def check_enqueue_of(place: Workspace) -> Enqueue:
    request(NAME, place, Extend(9), silent)
    return check_enqueue(NAME, place, {"optimizer.lr": 1e-3})


def test_a_waiting_trial_is_stopped_with_no_driver_and_mlflow_is_told(call: Call, place: Workspace) -> None:
    root = str(place.root)
    assert call("stop", NAME, "--trial", "9", "--workspace", root)[0] == 2
    ended = call("stop", NAME, "--trial", "1", "--workspace", root)
    assert ended[0] == 2
    assert "trial 1 has ended already: complete" in ended[2]
    request(NAME, place, Extend(6), silent)
    call("enqueue", NAME, "optimizer.lr=1e-3", "--workspace", root)
    code, out, _ = call("stop", NAME, "--trial", "4", "--workspace", root)
    assert (code, out) == (0, "trial 4 was stopped before its first epoch was recorded\n")
    trial = open_study(NAME, place).trials[4]
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.PRUNED, "stopped")
    client = MlflowClient(place.tracking)
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.`contourney.trial` = '4'")
    assert (run.info.status, run.data.tags["contourney.reason"]) == ("KILLED", "stopped")


def test_a_stop_asked_of_a_driver_that_died_does_not_end_the_next(place: Workspace) -> None:
    answer = request(NAME, place, Stop(None), silent)
    assert (answer.outcome, answer.driver) == ("no driver was running", False)
    study = open_study(NAME, place, write=True)
    key = post(study, Stop(None))
    left = post(study, Extend(7))
    with open_lease(place.storage, NAME):
        void_stops(study)
        requests = Requests(study, settings(), Budget(4, None))
        assert not requests.take()
        assert answer_to(study, key) == "no driver was running"
        assert answer_to(study, left) == "the budget is 7 trials"
        assert study.user_attrs["study"]["search"]["trials"] == 7
        post(study, Extend(5))
        post(study, Stop(None))
        assert requests.take()
        assert study.user_attrs["study"]["search"]["trials"] == 7


def test_a_trial_drawn_ahead_is_stopped_once_it_runs(place: Workspace) -> None:
    study = open_study(NAME, place, write=True)
    bridge = open_tabulated(study, trials=9, records=Records())
    requests = Requests(study, settings(), Budget(9, None), bridge)
    drawn = study.ask()
    key = post(study, Stop(drawn.number))
    requests.take()
    assert answer_to(study, key) is None
    study._storage.set_trial_state_values(drawn._trial_id, TrialState.WAITING)
    bridge.ask()
    requests.take()
    assert answer_to(study, key) == "trial 4 was stopped before its first epoch was recorded"


def test_a_holder_that_does_not_answer_is_waited_for_with_a_bound(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requesting, "PATIENCE_S", 0.5)
    with open_lease(place.storage, NAME):
        answer = request(NAME, place, Extend(8), silent)
    assert (answer.outcome, answer.driver) == (None, True)
    # Whoever holds the study next applies it, in order.
    assert request(NAME, place, Extend(9), silent).outcome == "the budget is 9 trials"
    answered = [
        value["applied"]["outcome"] for value in open_study(NAME, place).user_attrs.values() if is_request(value)
    ]
    assert answered == ["the budget is 8 trials", "the budget is 9 trials"]


def is_request(value: object) -> bool:
    return isinstance(value, dict) and "asked_s" in value


def test_the_lease_is_taken_when_its_holder_goes_without_an_answer(place: Workspace) -> None:
    holder = open_lease(place.storage, NAME).__enter__()
    gone = threading.Timer(0.3, lambda: holder.__exit__(None, None, None))
    gone.start()
    answer = request(NAME, place, Extend(8), silent)
    gone.join()
    assert (answer.outcome, answer.driver) == ("the budget is 8 trials", False)


HELD = """
name: asked
trial:
  entry: tests.studies.scripted:Held
  epochs: 3
  data: {format: terrain, terrain: {images: 12}}
space:
  optimizer.lr: {low: 1e-5, high: 1e-1, log: true}
search: {trials: 5, pruner: {name: none}}
resources: {workers: 2}
"""


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "asked.yaml").write_text(HELD)
    process = subprocess.Popen(
        command("launch", str(tmp_path / "asked.yaml"), "--workspace", str(ready(tmp_path / "w"))),
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    yield process
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_running_driver_stops_a_trial_runs_an_enqueued_one_and_ends(
    driver: subprocess.Popen[str], tmp_path: Path
) -> None:
    place, words = Workspace.open(tmp_path / "w"), ("--workspace", str(tmp_path / "w"))

    def started(number: int) -> bool:
        assert driver.poll() is None, driver.communicate()[0]
        return (place.trial_folder("asked", number) / "epochs.jsonl").exists()

    wait_for(lambda: started(0) and started(1), "two trials in their second epoch", 120)
    said = contourney("enqueue", "asked", "optimizer.lr=1e-3", *words)
    assert (said.returncode, said.stdout) == (0, "trial 2 waits with these values\n"), said.stderr
    assert request("asked", place, Stop(0), silent) == Answer("trial 0 was stopped after epoch 1", driver=True)
    (place.root / "go").touch()
    wait_for(lambda: started(2), "the enqueued trial", 120)
    (place.root / "go").unlink()
    ended = contourney("stop", "asked", *words)
    assert (ended.returncode, ended.stdout) == (0, "the driver ends in order; its open trials wait to go on\n")
    out = driver.communicate(timeout=180)[0]
    assert driver.returncode == 130
    assert "go on with: contourney resume asked" in out
    trials = open_study("asked", place).trials
    assert (trials[0].state, trials[0].user_attrs["reason"]) == (TrialState.PRUNED, "stopped")
    assert list(trials[0].intermediate_values) == [1]
    assert trials[2].params == {"optimizer.lr": 1e-3}
    assert TrialState.RUNNING not in {trial.state for trial in trials}
    assert TrialState.WAITING in {trial.state for trial in trials}
