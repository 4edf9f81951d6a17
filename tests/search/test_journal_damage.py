"""Journals that were damaged: a line that says where, and not a byte more lost."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages.journal import JournalFileOpenLock, JournalFileSymlinkLock

from search.storage import StorageError, open_storage

ROOT = Path(__file__).resolve().parents[2]
FUZZ = settings(derandomize=True, max_examples=150, deadline=None, database=None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal of a study with three trials."""
    path = tmp_path_factory.mktemp("whole") / "optuna.journal"
    study = optuna.create_study(study_name="s", storage=open_storage(str(path), write=True))
    study.set_user_attr("note", "größer\n")
    for _ in range(3):
        trial = study.ask()
        trial.suggest_float("lr", 1e-5, 1e-2, log=True)
        trial.report(0.5, 1)
        study.tell(trial, 0.5)
    return path.read_bytes()


# Always the same file, so that examples cost no folders.
@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "optuna.journal"


def opened(place: Path, content: bytes) -> set[str] | str:
    """Names of the studies, or what was refused; nothing but a torn last line may go from the file."""
    place.write_bytes(content)
    try:
        read: set[str] | str = set(optuna.get_all_study_names(open_storage(str(place))))
    except StorageError as error:
        read = str(error)
    assert place.read_bytes() == content
    try:
        written: set[str] | str = set(optuna.get_all_study_names(open_storage(str(place), write=True)))
    except StorageError as error:
        written = str(error)
    assert place.read_bytes() in (content, content[: content.rfind(b"\n") + 1])
    assert written == read
    if isinstance(read, str):
        assert str(place) in read
        assert "restore a copy" in read
        assert "line" in read
    return read


@FUZZ
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused_and_left_as_they_are(place: Path, content: bytes) -> None:
    found = opened(place, content)
    if not b'{"op_code":'.startswith(content):
        assert isinstance(found, str)
        assert place.read_bytes() == content


@FUZZ
@given(data=st.data())
def test_a_journal_cut_anywhere_has_what_its_whole_lines_say(whole: bytes, place: Path, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(whole)))
    assert opened(place, whole[:end]) == (set() if whole[:end].count(b"\n") < 1 else {"s"})


NO_RECORDS = [b"\0" * 20, b"null", b"[]", b"7", b'"text"', b"{}", b"[" * 3000, b'{"op_code": 4}', b"\xff\xfe"]


@FUZZ
@given(data=st.data(), garbage=st.binary(min_size=1, max_size=40) | st.sampled_from(NO_RECORDS))
def test_a_garbage_line_is_named(whole: bytes, place: Path, data: st.DataObject, garbage: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    after = data.draw(st.integers(1, len(lines)))
    garbage = garbage.replace(b"\n", b"?").strip() or b"?"
    found = opened(place, b"".join([*lines[:after], garbage + b"\n", *lines[after:]]))
    assert isinstance(found, str)
    assert f"line {after + 1}:" in found or (after == len(lines) and "the last line" in found)


@FUZZ
@given(data=st.data())
def test_a_line_torn_in_the_middle_is_named(whole: bytes, place: Path, data: st.DataObject) -> None:
    lines = whole.splitlines(keepends=True)
    torn = data.draw(st.integers(0, len(lines) - 2))
    cut = data.draw(st.integers(1, len(lines[torn]) - 1))
    found = opened(place, b"".join([*lines[:torn], lines[torn][:-cut], *lines[torn + 1 :]]))
    # Without its end the next record stands in the same line.
    assert isinstance(found, str)
    assert f"line {torn + 1}:" in found or "the last line" in found


def test_nul_bytes_at_the_end_as_after_a_power_cut_are_cut(
    whole: bytes, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place.write_bytes(whole + b"\0" * 512)
    with caplog.at_level(logging.WARNING):
        open_storage(str(place), write=True)
    assert place.read_bytes() == whole
    (record,) = caplog.records
    assert "the last line was torn" in record.message
    assert "512 bytes" in record.message


def test_a_whole_journal_is_opened_without_a_word(whole: bytes, place: Path, caplog: pytest.LogCaptureFixture) -> None:
    place.write_bytes(whole)
    open_storage(str(place), write=True)
    assert not caplog.records


DIES = """
import os, signal, sys
from pathlib import Path
import optuna
from optuna.storages.journal import JournalFileBackend
from search.storage import FlockJournalLock, open_storage

storage = open_storage(sys.argv[1], write=True)
study = optuna.create_study(study_name="s", storage=storage)
study.set_user_attr("before", 1)

class Torn:
    def __init__(self, file): self.file = file
    def __enter__(self): return self
    def __exit__(self, *error): self.file.close()
    def flush(self): self.file.flush()
    def fileno(self): return self.file.fileno()
    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

import optuna.storages.journal._file as module
module.open = lambda path, mode: Torn(open(path, mode)) if mode == "ab" else open(path, mode)
study.set_user_attr("during", "x" * 100)
"""


def test_a_driver_killed_in_the_middle_of_a_write_costs_that_write_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "optuna.journal"
    done = subprocess.run([sys.executable, "-c", DIES, str(path)], cwd=ROOT, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert not path.read_bytes().endswith(b"\n")
    storage = open_storage(str(path), write=True)
    assert "the last line was torn" in caplog.text
    study = optuna.load_study(study_name="s", storage=storage)
    assert study.user_attrs == {"before": 1}
    study.set_user_attr("after", 2)
    assert [json.loads(line)["op_code"] for line in path.read_text().splitlines()]
    assert optuna.load_study(study_name="s", storage=open_storage(str(path))).user_attrs == {"before": 1, "after": 2}


@pytest.mark.parametrize("lock", [JournalFileSymlinkLock, JournalFileOpenLock])
def test_a_lock_file_that_a_killed_tool_of_optunas_left_stalls_nobody(tmp_path: Path, lock: type) -> None:
    path = tmp_path / "optuna.journal"
    open_storage(str(path), write=True)
    script = f"import os, signal, sys\nfrom optuna.storages.journal import {lock.__name__} as Lock\n"
    script += "Lock(sys.argv[1]).acquire()\nos.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert os.path.lexists(f"{path}.lock")
    started = time.monotonic()
    optuna.create_study(study_name="s", storage=open_storage(str(path), write=True))
    # Optuna's own writers would wait 30 s for it here; this is about waiting or not, not about speed.
    assert time.monotonic() - started < 15
