"""Storage and lease, with processes that are really killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest

from search.lease import FileLease, LeaseTaken, open_lease
from search.storage import StorageError, cut_torn_line, open_storage, shown


@contextmanager
def holding(code: str, *arguments: str) -> Iterator[int]:
    """The id of a process that runs `code` and then holds still, until it is killed."""
    script = f"import sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        os.kill(process.pid, signal.SIGKILL)


def test_a_torn_last_line_is_cut_and_the_journal_goes_on(journal: Path) -> None:
    storage = open_storage(str(journal), write=True)
    optuna.create_study(study_name="a", storage=storage)
    whole = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "trial_')
    optuna.create_study(study_name="b", storage=open_storage(str(journal), write=True))
    assert journal.read_bytes().startswith(whole)
    assert [json.loads(line)["op_code"] for line in journal.read_text().splitlines()]
    assert sorted(optuna.get_all_study_names(open_storage(str(journal)))) == ["a", "b"]


@pytest.mark.parametrize("torn", [b"", b"x", b"x" * 200_000])
def test_cutting_leaves_whole_lines_alone(journal: Path, torn: bytes) -> None:
    journal.write_bytes(b'{"a": 1}\n' + torn)
    assert cut_torn_line(journal) == len(torn)
    assert journal.read_bytes() == b'{"a": 1}\n'


def test_a_writer_killed_with_the_lock_stalls_nobody(journal: Path) -> None:
    open_storage(str(journal), write=True)
    code = "from pathlib import Path\nfrom search.storage import FlockJournalLock\n"
    code += "lock = FlockJournalLock(Path(sys.argv[1]))\nlock.acquire()"
    with holding(code, str(journal)):
        pass
    started = time.monotonic()
    optuna.create_study(study_name="a", storage=open_storage(str(journal), write=True))
    # Optuna's own lock would hold every writer for 30 s here; this is about waiting or not, not about speed.
    assert time.monotonic() - started < 15


def test_reading_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no studies here"):
        open_storage(str(tmp_path / "none.journal"))
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*; choose another place"):
        open_storage(str(tmp_path / "file" / "optuna.journal"), write=True)


def test_passwords_are_not_shown() -> None:
    assert shown("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    with pytest.raises(StorageError) as refused:
        open_storage("postgresql+nothing://me:secret@host/db")
    assert "secret" not in str(refused.value)


def test_a_second_driver_is_refused_and_told_who_holds_the_study(journal: Path) -> None:
    code = "from pathlib import Path\nfrom search.lease import FileLease\n"
    code += "lease = FileLease(Path(sys.argv[1]), 's').__enter__()"
    with holding(code, str(journal)) as pid:
        with pytest.raises(LeaseTaken, match=rf"'s' is being run by process {pid} on .* since 20\d\d-"):
            FileLease(journal, "s").__enter__()
        with FileLease(journal, "another"):
            pass
    with FileLease(journal, "s"):
        pass


def test_the_lease_lies_beside_the_storage(tmp_path: Path) -> None:
    lease = open_lease(f"sqlite:///{tmp_path}/optuna.db", "s")
    assert isinstance(lease, FileLease)
    assert lease.path.parent == tmp_path
    with pytest.raises(StorageError, match="expected a journal path, sqlite:/// or postgresql://"):
        open_lease("mysql://host/db", "s")
