"""`contourney vault`: what was opened, and whether the ledger is whole."""

import json
import os
import signal
from pathlib import Path

import optuna
import pytest

from search.storage import open_storage
from studies.promotion.vault import TestVault
from tests.studies.commands import Call, caller

SUBJECT = {"study": "s", "trial": 3, "weights": "abc"}
ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace in which two test splits were opened, and a study that remembers the head of one ledger."""
    storage = str(tmp_path / "optuna.journal")
    first = TestVault(storage, ONE)
    row = {"study": "s/confirm", "trial": 0, "row": "wide", "seed": 5, "weights": "def"}
    head = first.record(first.open(SUBJECT, row, again=None), SUBJECT, {"miou": 0.61234})
    first.open({**SUBJECT, "trial": 4}, again="relabelled")
    TestVault(storage, OTHER).note({"audit": "camvid"})
    study = optuna.create_study(study_name="s", storage=open_storage(storage, write=True))
    study.set_user_attr("promotion", {"trial": 3, "head": head, "fingerprint": ONE})
    return tmp_path


def test_the_log_tells_who_when_what_and_the_result(root: Path, call: Call) -> None:
    code, out, _ = call("vault", "log", "--workspace", str(root))
    assert code == 0
    opened, result, again, audit = out.splitlines()
    assert "@" in opened
    subjects = "study s, trial 3; study s/confirm, trial 0, row wide, seed 5"
    assert opened.endswith(f"test split 111111111111  opening 1 for {subjects}")
    assert result.endswith("result of opening 1 for study s, trial 3: mIoU 0.6123")
    assert again.endswith('opening 2 for study s, trial 4, again: "relabelled"')
    assert audit.endswith("test split 222222222222  looked at, not evaluated: audit camvid")
    code, out, _ = call("vault", "log", "--workspace", str(root), "--json")
    assert [entry["kind"] for entry in json.loads(out)] == ["opening", "result", "opening", "audit"]


def test_verify_counts_entries_openings_and_remembered_heads(root: Path, call: Call) -> None:
    code, out, _ = call("vault", "verify", "--workspace", str(root))
    assert code == 0
    first, second = out.splitlines()
    assert (
        "111111111111: 3 entries in an unbroken chain, openings: 2, heads remembered by studies and MLflow: 1" in first
    )
    assert "222222222222: 1 entries" in second


def test_verify_refuses_a_changed_entry_and_a_ledger_without_a_remembered_head(root: Path, call: Call) -> None:
    journal = root / "optuna.journal"
    whole = journal.read_text()
    journal.write_text(whole.replace('"miou":0.61234', '"miou":0.71234'))
    assert journal.read_text() != whole
    code, _, err = call("vault", "verify", "--workspace", str(root))
    assert (code, "was changed at entry 1" in err) == (2, True)
    journal.write_text("".join(line for line in whole.splitlines(keepends=True) if f"entry/{ONE}" not in line))
    code, _, err = call("vault", "verify", "--workspace", str(root))
    assert (code, "cut short" in err) == (2, True)


@pytest.mark.parametrize("command", ["verify", "log"])
def test_a_workspace_without_openings_says_so_and_gets_no_ledger(tmp_path: Path, call: Call, command: str) -> None:
    storage = open_storage(str(tmp_path / "optuna.journal"), write=True)
    optuna.create_study(study_name="s", storage=storage)
    assert call("vault", command, "--workspace", str(tmp_path)) == (0, "no test split was opened\n", "")
    assert optuna.get_all_study_names(storage) == ["s"]


def test_a_sigterm_outside_of_training_is_an_interruption(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken_back(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("studies.promotion.promote.promote", taken_back)
    code, out, _ = call("promote", "terrain", "--trial", "0", "--workspace", str(tmp_path))
    assert (code, out) == (130, "interrupted; go on with the same command again\n")
    assert signal.getsignal(signal.SIGTERM) is before
