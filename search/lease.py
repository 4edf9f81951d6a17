"""The lease of a study: one driver writes, every other is told who does."""

import fcntl
import hashlib
import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from search.storage import StorageError, StorageLost, connect_arguments, is_url, masked, shown, storage_file

# A look at who holds a study locks its file for some microseconds: who finds it locked tries again.
ATTEMPTS, BETWEEN_S = 5, 0.02
_HOLDER = (
    "select a.application_name, extract(epoch from a.backend_start) from pg_locks l "
    "join pg_stat_activity a using (pid) where l.locktype = 'advisory' and l.granted and l.objsubid = 1 "
    "and l.database = (select oid from pg_database where datname = current_database()) "
    "and ((l.classid::bigint << 32) | l.objid::bigint) = :key"
)


class LeaseTaken(StorageError):
    """Another process holds the study."""


class LeaseLost(StorageLost):
    """Another process has taken the study while this one had no connection to the database."""


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
        for attempt in range(ATTEMPTS):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if attempt == ATTEMPTS - 1:
                    with handle:
                        handle.seek(0)
                        raise LeaseTaken(_taken(self._study, handle.read())) from error
                time.sleep(BETWEEN_S)
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

    def find_holder(self) -> tuple[bool, str]:
        """Whether a process has the lease, and the note of that or of the last one, empty where there was none."""
        try:
            handle = self.path.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return False, ""
        with handle:
            note = handle.read()
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True, note
            return False, note


class PostgresLease:
    """A lease by a session advisory lock on a connection of its own; the server frees it with the session.

    The session is named after its holder. Safe for several threads.
    """

    def __init__(self, url: str, study: str) -> None:
        self._study = study
        self._url = url
        self._key = int.from_bytes(hashlib.sha256(f"contourney:{study}".encode()).digest()[:8], "big", signed=True)
        self._connection: Any = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Take the lease; raises LeaseTaken with the holder's host, process and start, StorageError with no server."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            holder = self._take()
        except (SQLAlchemyError, ImportError) as error:
            self._close()
            reason = masked(str(getattr(error, "orig", None) or error).strip().splitlines()[0], self._url)
            raise StorageError(f"cannot open OPTUNA_STORAGE {shown(self._url)}: {reason}") from error
        if holder is not None:
            self._close()
            raise LeaseTaken(_taken(self._study, holder))
        return self

    def check(self) -> None:
        """Take the lease again where it went with its connection; raises LeaseLost where another process has it.

        While the server is away the driver's error is raised.
        """
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        with self._lock:
            if self._connection is not None:
                try:
                    self._connection.execute(text("select 1"))
                    return
                except DBAPIError:
                    self._close()
            holder = self._take()
            if holder is not None:
                self._close()
                raise LeaseLost(f"{_taken(self._study, holder).split(';')[0]}, since this driver lost the database")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def find_holder(self) -> tuple[bool, str]:
        """Whether a process has the lease, and the note of it, empty where none has it; raises StorageError."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._connect() as connection:
                note = self._note(connection)
        except (SQLAlchemyError, ImportError) as error:
            reason = masked(str(getattr(error, "orig", None) or error).strip().splitlines()[0], self._url)
            raise StorageError(f"cannot open OPTUNA_STORAGE {shown(self._url)}: {reason}") from error
        return note is not None, note or ""

    def _connect(self) -> Any:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        engine = create_engine(
            self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=connect_arguments(self._url)
        )
        return engine.connect()

    def _note(self, connection: Any) -> str | None:
        """Who has the lock, None where nobody has it."""
        from sqlalchemy import text

        holder = connection.execute(text(_HOLDER), {"key": self._key}).first()
        if holder is None:
            return None
        pid, _, host = holder[0].partition("@")
        return json.dumps({"host": host, "pid": pid, "since_s": float(holder[1])})

    def _take(self) -> str | None:
        """Connect and take the lock; returns None, or a note of who has it."""
        from sqlalchemy import text

        self._connection = self._connect()
        run = self._connection.execute
        # PostgreSQL keeps 63 bytes of a name.
        run(text("select set_config('application_name', :name, false)"), {"name": f"{os.getpid()}@{_host()}"[:63]})
        # A holder's machine that vanishes gives the lock back within a minute, not after the system's two hours.
        for key, value in (("idle", "30"), ("interval", "10"), ("count", "3")):
            run(text(f"select set_config('tcp_keepalives_{key}', '{value}', false)"))
        if run(text("select pg_try_advisory_lock(:key)"), {"key": self._key}).scalar():
            return None
        return self._note(self._connection) or ""

    def _close(self) -> None:
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        connection, self._connection = self._connection, None
        if connection is None:
            return
        # The server notices a closed connection some time later; whoever comes next need not wait for that.
        with connection, suppress(DBAPIError):
            if not connection.invalidated:
                connection.execute(text("select pg_advisory_unlock_all()"))


def open_lease(storage: str, study: str) -> FileLease | PostgresLease:
    """The lease of `study` in `storage`, not yet taken: use it in a `with` statement."""
    if storage.startswith("postgresql"):
        return PostgresLease(storage, study)
    path = storage_file(storage) if not is_url(storage) or storage.startswith("sqlite") else None
    if path is None:
        raise StorageError(f"OPTUNA_STORAGE: expected a journal path, sqlite:/// or postgresql://, got {storage[:12]}…")
    return FileLease(path, study)


def find_holder(storage: str, study: str) -> tuple[bool, dict[str, Any]]:
    """Whether a process holds `study`, and what it noted of itself, or the last one did; raises StorageError.

    Nothing is taken or written; it may be asked as often as one likes.
    """
    held, text = open_lease(storage, study).find_holder()
    try:
        note = json.loads(text)
    except ValueError:
        note = {}
    return held, note if isinstance(note, dict) else {}


def _digest(study: str) -> str:
    return hashlib.sha256(study.encode()).hexdigest()[:12]


def _holder() -> str:
    return json.dumps({"host": _host(), "pid": os.getpid(), "since_s": time.time()})


def _host() -> str:
    return socket.gethostname()


def _taken(study: str, note: str) -> str:
    try:
        holder = json.loads(note)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since_s"]))
        who = f"process {holder['pid']} on {holder['host']} since {since}"
    except (ValueError, KeyError):
        who = "another process"
    return f"study {study!r} is being run by {who}; stop that one first"
