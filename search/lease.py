"""The lease of a study: one driver writes, every other is told who does."""

import fcntl
import hashlib
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from search.storage import StorageError, is_url


class LeaseTaken(StorageError):
    """Another process holds the study."""


class FileLease:
    """A lease by `flock` beside the journal (or SQLite file); the kernel frees it when its holder dies.

    One file a study, so that two studies of a workspace can run side by side.
    """

    def __init__(self, storage: Path, study: str) -> None:
        self._study = study
        self.path = storage.with_name(f"{storage.name}.{_digest(study)}.lease")
        self._handle: IO[str] | None = None

    def __enter__(self) -> Self:
        """Take the lease; raises LeaseTaken with the holder's host, process and start."""
        handle = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with handle:
                handle.seek(0)
                raise LeaseTaken(_taken(self._study, handle.read())) from error
        handle.seek(0)
        handle.truncate()
        handle.write(_holder())
        handle.flush()
        self._handle = handle
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._handle is not None
        self._handle.close()
        self._handle = None

    def check(self) -> None:
        """Nothing to do: a file lock cannot be lost while its holder lives."""


class PostgresLease:
    """A lease by a session advisory lock on a connection of its own; the server frees it with the session."""

    def __init__(self, url: str, study: str) -> None:
        self._study = study
        self._url = url
        self._key = int.from_bytes(hashlib.sha256(f"contourney:{study}".encode()).digest()[:8], "big", signed=True)
        self._connection: Any = None

    def __enter__(self) -> Self:
        """Take the lease; raises LeaseTaken."""
        from sqlalchemy import create_engine, text

        engine = create_engine(self._url, pool_size=1, isolation_level="AUTOCOMMIT")
        self._connection = engine.connect()
        if not self._connection.execute(text("select pg_try_advisory_lock(:key)"), {"key": self._key}).scalar():
            holder = self._connection.execute(
                text(
                    "select a.client_addr::text, a.backend_start from pg_locks l join pg_stat_activity a using (pid) "
                    "where l.locktype = 'advisory' and ((l.classid::bigint << 32) | l.objid::bigint) = :key"
                ),
                {"key": self._key},
            ).first()
            self._close()
            since = f" (client {holder[0] or 'local'}, since {holder[1]:%Y-%m-%d %H:%M:%S %Z})" if holder else ""
            raise LeaseTaken(f"study {self._study!r} is being run by another process{since}; stop that one first")
        return self

    def check(self) -> None:
        """Raise LeaseTaken if the session that held the lock is gone."""
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        try:
            self._connection.execute(text("select 1"))
        except DBAPIError as error:
            raise LeaseTaken(f"the lease of study {self._study!r} was lost with the database connection") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        connection.close()
        connection.engine.dispose()


def open_lease(storage: str, study: str) -> FileLease | PostgresLease:
    """The lease of `study` in `storage`, not yet taken: use it in a `with` statement."""
    if storage.startswith("postgresql"):
        return PostgresLease(storage, study)
    if storage.startswith("sqlite:///"):
        return FileLease(Path(storage.removeprefix("sqlite:///")), study)
    if is_url(storage):
        raise StorageError(f"OPTUNA_STORAGE: expected a journal path, sqlite:/// or postgresql://, got {storage[:12]}…")
    return FileLease(Path(storage), study)


def _digest(study: str) -> str:
    return hashlib.sha256(study.encode()).hexdigest()[:12]


def _holder() -> str:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since_s": time.time()})


def _taken(study: str, note: str) -> str:
    try:
        holder = json.loads(note)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since_s"]))
        who = f"process {holder['pid']} on {holder['host']} since {since}"
    except (ValueError, KeyError):
        who = "another process"
    return f"study {study!r} is being run by {who}; stop that one first"
