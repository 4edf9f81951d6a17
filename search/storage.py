"""Opening Optuna's storage: a journal file by default, a database URL at scale."""

import fcntl
import json
import logging
import os
import re
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

# Which attempt made a database's trial: its system attribute, so that an attempt whose answer was lost is recognised.
CREATED = "contourney:created"
# User and password of a URL, up to the last @: an unescaped one belongs to the password.
_PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):(\S*)@")
# How every record of Optuna's journal begins.
_RECORD = b'{"op_code":'
# What Optuna raises when it replays a record that is none of its own.
_NO_RECORD = (ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, RecursionError)
_PASSWORD_OPTION = re.compile(r"(?<=[?&])((?:ssl)?password)=([^&\s]*)", re.IGNORECASE)


class StorageError(ValueError):
    """The storage cannot be used as asked."""


class StorageLost(RuntimeError):
    """The storage cannot be written any more: it is gone, or somebody else writes."""


class FlockJournalLock:
    """Excludes writers by `flock` on the journal itself.

    The kernel lets go of it when a process dies, so no writer waits for the 30 s that Optuna's own lock files need
    before a dead holder is given up.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the lock; every call has its own open file, so threads exclude each other too."""
        handle = self._path.open("ab")
        fcntl.flock(handle, fcntl.LOCK_EX)
        self._held = handle
        return True

    def release(self) -> None:
        """Let go of the lock."""
        assert self._held is not None, "released a lock that is not held"
        held, self._held = self._held, None
        held.close()


class _NumberedJournal(JournalFileBackend):
    """Optuna's journal file, which knows the line it is at."""

    line = 0

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The records from a number on; `line` is that of the last one given, or of the one that cannot be read."""
        self.line = log_number_from + 1
        for log in super().read_logs(log_number_from):
            yield log
            self.line += 1


def is_url(storage: str) -> bool:
    """Whether `storage` is a database URL rather than the path of a journal."""
    return "://" in storage


def open_storage(
    storage: str, *, write: bool = False, begin: Callable[[JournalFileBackend], JournalStorage] = JournalStorage
) -> BaseStorage:
    """Open the storage at a URL or journal path.

    With `write` a missing file is created, and a journal's last line torn by a crash is cut off, which is logged as a
    warning (and so said on the terminal); without it a missing file is an error. `begin` reads a journal's file, from
    its first line by default. Raises StorageError, with the line where a journal cannot be read.
    """
    if is_url(storage):
        return _open_database(storage, write)
    path = Path(storage)
    if write:
        _make_writable(path)
    elif not path.is_file():
        raise StorageError(f"no studies here: expected Optuna's journal at {path}; launch a study or name --workspace")
    _check_is_journal(path)
    if write and (cut := cut_torn_line(path)):
        logging.getLogger(__name__).warning(
            f"{path}: the last line was torn by a process that died while it wrote; its {cut} bytes were cut off, and "
            "nothing else is lost"
        )
    _check_last_line(path)
    # Optuna keeps its base class of locks private; it asks no more of one than the two methods.
    journal = _NumberedJournal(str(path), lock_obj=FlockJournalLock(path))  # type: ignore[arg-type]
    try:
        return begin(journal)
    except _NO_RECORD as error:
        raise _unreadable(path, f"line {journal.line}") from error


def storage_file(storage: str) -> Path | None:
    """The file that a journal or an SQLite database is; None for a server's database."""
    if not is_url(storage):
        return Path(storage)
    if not storage.startswith("sqlite"):
        return None
    path = storage.partition("://")[2].partition("?")[0].removeprefix("/")
    if path in ("", ":memory:"):
        raise StorageError(f"OPTUNA_STORAGE: expected sqlite:///PATH of a file, got {storage!r}")
    return Path(path)


def cut_torn_line(path: Path) -> int:
    """Cut the journal back to its last newline and return the number of bytes cut.

    A process that dies while writing leaves half a line; Optuna would append the next record to it and then refuse
    to read the journal for ever.
    """
    with path.open("r+b") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        size = journal.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            journal.seek(start)
            newline = journal.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            journal.truncate(end)
        return size - end


def _check_is_journal(path: Path) -> None:
    """Raise StorageError where a file's first line is no record: it is somebody else's, and nothing of it is cut."""
    with path.open("rb") as journal:
        start = journal.read(len(_RECORD))
    if not _RECORD.startswith(start) and not start.startswith(_RECORD):
        raise _unreadable(path, "line 1")


def _check_last_line(path: Path) -> None:
    """Raise StorageError where the last whole line is no record: Optuna passes over it until one follows."""
    with path.open("rb") as journal:
        end = journal.seek(0, os.SEEK_END)
        content = b""
        while end > 0 and content.count(b"\n") < 2:
            start = max(0, end - 65536)
            journal.seek(start)
            content = journal.read(end - start) + content
            end = start
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    try:
        if lines and not isinstance(json.loads(lines[-1]), dict):
            raise _unreadable(path, "the last line")
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, "the last line") from error


def _unreadable(path: Path, line: str) -> StorageError:
    return StorageError(
        f"{path}, {line}: no record of Optuna's journal; the file was damaged, or is none. Nothing was repaired: "
        "restore a copy of the file, or name another place with --workspace or OPTUNA_STORAGE"
    )


def shown(storage: str) -> str:
    """The storage or tracking URI as it may be shown: a URL without its password."""
    return _PASSWORD_OPTION.sub(r"\1=***", _PASSWORD.sub(r"\1:***@", storage)) if is_url(storage) else storage


def masked(text: str, *urls: str) -> str:
    """A text, as an error's, without the passwords of these URLs, however they are quoted in it."""
    for url in urls:
        for pattern in (_PASSWORD, _PASSWORD_OPTION) if is_url(url) else ():
            for found in pattern.finditer(url):
                plain = unquote(found[2])
                for spelling in {found[2], plain, quote(plain, safe="")} - {""}:
                    text = text.replace(spelling, "***")
    return shown(text)


def connect_arguments(url: str) -> dict[str, Any]:
    """Arguments of a connection: a server that vanished without a word is noticed within a minute."""
    if url.startswith(("postgresql://", "postgresql+psycopg")):
        return {
            "connect_timeout": 10,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
        }
    # SQLite's writers wait for each other.
    return {"timeout": 30} if url.startswith("sqlite") else {}


def _make_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}; choose another place with --workspace or OPTUNA_STORAGE"
        ) from error


def _open_database(url: str, write: bool) -> BaseStorage:
    # SQLAlchemy comes with Optuna; its errors are those of the driver and the server.
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    from search.retrying import CreatingOnce, RetryingStorage

    path = storage_file(url)
    if path is not None and write:
        _make_writable(path)
        with closing(sqlite3.connect(path)) as database:
            # Readers, as a dashboard, do not stop the writer; the file remembers it.
            database.execute("pragma journal_mode=wal")
    elif path is not None and not path.is_file():
        raise StorageError(f"no studies here: expected an SQLite database at {path}; launch a study")
    try:
        # Optuna fills a template in the URL, which has no other use for braces.
        backend = CreatingOnce(
            url.replace("{", "%7B").replace("}", "%7D"),
            {"pool_pre_ping": True, "connect_args": connect_arguments(url)},
        )
    except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = masked(str(getattr(cause, "orig", None) or cause).strip().splitlines()[0], url)
        raise StorageError(f"cannot open OPTUNA_STORAGE {shown(url)}: {reason}") from error
    return RetryingStorage(backend)
