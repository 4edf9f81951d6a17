"""Opening Optuna's storage: a journal file by default, a database URL at scale."""

import fcntl
import os
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend


class StorageError(ValueError):
    """The storage cannot be used as asked."""


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


def is_url(storage: str) -> bool:
    """Whether `storage` is a database URL rather than the path of a journal."""
    return "://" in storage


def open_storage(storage: str, *, write: bool = False) -> BaseStorage:
    """Open the storage at a URL or journal path.

    With `write` a missing journal is created and a last line torn by a crash is cut off; without it a missing
    journal is an error. Raises StorageError.
    """
    if is_url(storage):
        return _open_database(storage)
    path = Path(storage)
    if write:
        _make_writable(path)
        cut_torn_line(path)
    elif not path.is_file():
        raise StorageError(f"no studies here: expected Optuna's journal at {path}; launch a study or name --workspace")
    # Optuna keeps its base class of locks private; it asks no more of one than the two methods.
    return JournalStorage(JournalFileBackend(str(path), lock_obj=FlockJournalLock(path)))  # type: ignore[arg-type]


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


def shown(storage: str) -> str:
    """The storage as it may be shown: a URL without its password."""
    parts = urlsplit(storage)
    if not is_url(storage) or parts.password is None:
        return storage
    return storage.replace(f":{parts.password}@", ":***@", 1)


def _make_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}; choose another place with --workspace or OPTUNA_STORAGE"
        ) from error


def _open_database(url: str) -> BaseStorage:
    # SQLAlchemy comes with Optuna; its errors are those of the driver and the server.
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    except (SQLAlchemyError, ArgumentError, ImportError) as error:
        reason = str(error).splitlines()[0].replace(url, shown(url))
        raise StorageError(f"cannot open OPTUNA_STORAGE {shown(url)}: {reason}") from error
