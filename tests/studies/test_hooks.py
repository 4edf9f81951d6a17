"""The web hook: what it is told, and that a receiver which is gone, slow or refuses changes nothing of a study."""

import socket
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.bridge import Bridge, Rules
from search.budget import Budget
from search.space import Space
from studies.files.problems import StudyFileError
from studies.files.study_file import parse_study
from studies.running import posting
from studies.running.announcing import announcing
from studies.running.posting import Poster
from studies.stored import open_study
from studies.workspace import Workspace
from tests.search.tabulated import DECLARED, EPOCHS, FIXED, KINDS, Records, row
from tests.studies import prepared
from tests.studies.hooked import SECRET, receiving
from tests.studies.rayless import Lines, drive
from tests.studies.running import ready

HOOKED = prepared.FILE + "hooks: {url_env: MY_HOOK}\n"
ONCE = "this is said once"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "WAITS_S", (0.01, 0.02))


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def trials_of(root: Path) -> list[optuna.trial.FrozenTrial]:
    return open_study(prepared.NAME, Workspace.open(root)).trials


@pytest.mark.slow
def test_a_study_tells_its_new_bests_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ready(tmp_path / "w")
    with receiving() as receiver:
        monkeypatch.setenv("MY_HOOK", receiver.url)
        drive(root, HOOKED % 5, workers=1)
    trials = trials_of(root)
    expected, best = [], -1.0
    for trial in trials:
        assert trial.value is not None
        if trial.value > best:
            best = trial.value
            expected.append((trial.number, trial.user_attrs["best_epoch"], trial.value, trial.params))
    news = receiver.of("new_best")
    assert [(one["trial"], one["epoch"], one["value"], one["settings"]) for one in news] == expected
    (end,) = receiver.of("finished")
    assert (end["study"], end["reason"], end["value"], end["error"]) == (prepared.NAME, "budget", best, None)
    assert end["counts"] == {"COMPLETE": 5, "PRUNED": 0, "FAIL": 0, "RUNNING": 0, "WAITING": 0}
    assert end["host"] == socket.gethostname()
    assert end["text"] == (
        f"study 'prepared' on {socket.gethostname()}: has ended: its budget is spent; 5 complete; best validation mIoU "
        f"{best:.4f}, trial {end['trial']}, epoch {end['epoch']}"
    )
    assert len({message["id"] for message in receiver.came}) == len(receiver.came) == len(news) + 1
    # Gone on with, it tells its end again; nothing is a new best.
    with receiving() as receiver:
        monkeypatch.setenv("MY_HOOK", receiver.url)
        drive(root, HOOKED % 5)
    assert [message["event"] for message in receiver.came] == ["finished"]
    # The driver is the worker here, and this trainable writes its environment down.
    kept = [path for path in root.rglob("*") if path.is_file() and path.name != "environment.json"]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


@pytest.mark.slow
def test_receivers_that_are_gone_or_silent_change_nothing_and_are_told_of_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    closed_port: int,
    silent: int,
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.2)
    for port, why in ((closed_port, "Connection refused"), (silent, "no answer within 0.2 s")):
        root = ready(tmp_path / str(port))
        monkeypatch.setenv("MY_HOOK", f"http://127.0.0.1:{port}/{SECRET}")
        drive(root, HOOKED % 4)
        said = [line for line in capsys.readouterr().out.splitlines() if "hook" in line]
        assert len(said) == 1
        assert "the web hook of MY_HOOK misses messages" in said[0]
        assert why in said[0]
        assert SECRET not in said[0]
        assert [trial.state for trial in trials_of(root)] == [TrialState.COMPLETE] * 4


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "the environment variable MY_HOOK is not set"), ("file:///etc/passwd", "holds no http:// or https://")],
)
def test_without_an_address_one_line_says_so(
    value: str | None, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MY_HOOK", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_HOOK", value)
    settings = parse_study(HOOKED % 1, "study.yaml", "s")
    with announcing(optuna.create_study(), settings, Lines()) as announcer:
        announcer.ended("budget")
    (line,) = capsys.readouterr().out.splitlines()
    assert words in line
    assert "nobody is told of this run" in line


def bridged(study: optuna.Study, text: str, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A run with a failed trial, a complete one, a worse one, and an error that ends it."""
    monkeypatch.setenv("MY_HOOK", url)
    settings = parse_study(text, "study.yaml", "s")
    study.set_user_attr("metric", "validation mIoU")
    space, records = Space.declare(DECLARED, KINDS), Records()
    with announcing(study, settings, Lines()) as announcer:
        rules = Rules(EPOCHS)
        bridge = Bridge(study, space, FIXED, rules=rules, budget=Budget(9, None), recorder=records, listener=announcer)
        for end in ("fail", 0.5, 0.4):
            proposal = bridge.ask()
            assert proposal is not None
            if isinstance(end, str):
                bridge.fail(proposal.number, "Traceback:\n  there\nKeyError: '<!channel> & a bug'\n")
            else:
                bridge.report(proposal.number, row(1, end, "finished"))
        raise KeyError("what ended it")


def test_failed_trials_and_an_error_that_ends_a_run_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(study_name="a <study> & more", direction="maximize")
    with receiving() as receiver, pytest.raises(KeyError, match="what ended it"):
        bridged(study, HOOKED % 9, monkeypatch, receiver.url)
    failed, new, given_up, end = receiver.came
    assert [message["event"] for message in receiver.came] == ["failed", "new_best", "failed", "finished"]
    assert (failed["trial"], failed["reason"]) == (0, "error")
    assert failed["error"] == "KeyError: '<!channel> & a bug'"
    assert failed["study"] == "a <study> & more"
    assert "<" not in failed["text"]
    assert "'a &lt;study&gt; &amp; more'" in failed["text"]
    assert (new["trial"], new["value"], new["epoch"]) == (1, 0.5, 1)
    assert (given_up["trial"], given_up["reason"]) == (None, "error")
    assert given_up["error"] == end["error"] == "KeyError: 'what ended it'"
    assert (end["reason"], end["trial"], end["value"]) == ("error", 1, 0.5)
    assert (end["counts"]["FAIL"], end["counts"]["COMPLETE"]) == (1, 2)


def test_only_what_is_asked_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    text = prepared.FILE % 9 + "hooks: {url_env: MY_HOOK, on: [new_best]}\n"
    with receiving() as receiver, pytest.raises(KeyError, match="what ended it"):
        bridged(optuna.create_study(direction="maximize"), text, monkeypatch, receiver.url)
    assert [message["event"] for message in receiver.came] == ["new_best"]


@pytest.mark.parametrize(
    ("answers", "attempts", "said"),
    [
        ([503, 429], 3, ""),
        ([500, 500, 500], 3, "HTTP status 500"),
        ([404], 1, "HTTP status 404"),
        ([302], 1, "HTTP status 302"),
    ],
)
def test_what_passes_is_tried_again_with_the_same_id(
    answers: list[int], attempts: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving(answers) as receiver:
        poster = Poster(receiver.url, "MY_HOOK", print)
        poster.post({"event": "new_best", "id": "1"})
        poster.close()
    assert [message["id"] for message in receiver.came] == ["1"] * attempts
    assert set(receiver.paths) == {f"/services/{SECRET}"}
    out = capsys.readouterr().out
    assert said in out
    assert out.count(ONCE) == bool(said)


def test_of_too_many_messages_the_last_are_kept(monkeypatch: pytest.MonkeyPatch, silent: int) -> None:
    monkeypatch.setattr(posting, "PATIENCE_S", 0.1)
    lines: list[str] = []
    poster = Poster(f"http://127.0.0.1:{silent}/", "MY_HOOK", lines.append)
    for number in range(3 * posting.QUEUED_AT_MOST):
        poster.post({"id": number})
    kept = [message["id"] for message in poster._queue.queue if message is not None]
    assert kept[-1] == 3 * posting.QUEUED_AT_MOST - 1
    assert len(kept) <= posting.QUEUED_AT_MOST
    poster.close()
    assert len(lines) == 1
    assert ONCE in lines[0]


def test_an_address_in_the_place_of_a_name_is_refused_and_not_repeated() -> None:
    with pytest.raises(StudyFileError, match=r"^study\.yaml:12: hooks\.url_env: this is no name") as raised:
        parse_study(prepared.FILE % 1 + f"hooks: {{url_env: 'https://hooks.example/{SECRET}'}}\n", "study.yaml", "s")
    assert SECRET not in str(raised.value)
    with pytest.raises(StudyFileError, match=r"hooks\.on\[0\]: got the text 'finish'; did you mean `finished`"):
        parse_study(prepared.FILE % 1 + "hooks: {on: [finish]}\n", "study.yaml", "s")
