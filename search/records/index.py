"""The index: what was read of a storage and its trial folders, in one SQLite file that may be deleted at any time.

Everything in it is derived: a file that is missing, torn or of another version is written anew from the records.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import optuna

from search.storage import shown

# A changed layout, or another Optuna, whose state it holds, makes a new file.
VERSION = f"1, optuna {optuna.__version__}"
SCHEMA = """
create table about (key text primary key, value text not null);
create table trials (
    trial_id integer primary key, study_id integer not null, number integer not null, state integer not null,
    started text, ended text, distributions text not null, others text not null, steps blob not null,
    points blob not null
);
create table rows (
    folder text primary key, size integer not null, changed_ns integer not null, about text not null,
    numbers blob not null
);
"""
# How long another dashboard may write before this one does without.
PATIENCE_S = 5.0

T = TypeVar("T")


class Index:
    """The file of an index; safe for several threads and processes.

    `say` is told, once each, why a file was not used and why nothing can be kept.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path = path
        self._say = say
        self._lock = threading.Lock()
        self._opened: tuple[sqlite3.Connection, int] | None = None
        self._said: set[str] = set()

    def read(self, question: Callable[[sqlite3.Connection], T]) -> T | None:
        """What a function reads in one transaction; None where there is no index, or none that can be read."""
        return self._use(question, "begin", create=False)

    def write(self, change: Callable[[sqlite3.Connection], T]) -> T | None:
        """Let a function write in one transaction, none other writing meanwhile; None where nothing was kept."""
        return self._use(change, "begin immediate", create=True)

    def discard(self, why: str) -> None:
        """Delete the file: what it holds cannot be used."""
        with self._lock:
            self._discard(why)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _use(self, use: Callable[[sqlite3.Connection], T], begin: str, *, create: bool) -> T | None:
        with self._lock:
            try:
                connection = self._connect(create)
                if connection is None:
                    return None
                connection.execute(begin)
                try:
                    found = use(connection)
                    connection.execute("commit")
                    return found
                finally:
                    if connection.in_transaction:
                        connection.execute("rollback")
            except (sqlite3.OperationalError, OSError) as error:
                # Locked for long, a full disk, a folder that cannot be written: the records themselves are there.
                self._close()
                self._tell(f"the index {self.path} is not used: {error}; what it would hold is read from the records")
            except sqlite3.DatabaseError as error:
                self._discard(f"cannot be read ({error})")
            return None

    def _connect(self, create: bool) -> sqlite3.Connection | None:
        """The open file, another one where it was deleted or replaced meanwhile."""
        there = self.path.stat().st_ino if self.path.exists() else None
        if self._opened is not None and self._opened[1] == there:
            return self._opened[0]
        self._close()
        if there is not None:
            connection = self._open()
            version = _version(connection)
            if version == VERSION:
                return connection
            self._close()
            # Without a version another dashboard is just making it, or died as it did.
            if version is not None:
                self._discard(f"is of another version ({version}; expected {VERSION})")
        return self._made() if create else None

    def _made(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = self._open()
        connection.execute("begin immediate")
        # Another dashboard may have been quicker.
        if _version(connection) is None:
            for statement in SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute("insert into about values ('version', ?)", (VERSION,))
        connection.execute("commit")
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
        self._opened = connection, self.path.stat().st_ino
        return connection

    def _discard(self, why: str) -> None:
        self._close()
        self._tell(f"the index {self.path} {why}: it is built anew")
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.path.with_name(f"{self.path.name}-journal").unlink(missing_ok=True)

    def _close(self) -> None:
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None

    def _tell(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            self._say(words)


def index_path(cache: Path, storage: str) -> Path:
    """The file of a storage's index in a cache folder."""
    return cache / f"records-{hashlib.sha256(shown(storage).encode()).hexdigest()[:12]}.sqlite"


def _version(connection: sqlite3.Connection) -> str | None:
    """What version made the file, None where its making was not completed."""
    if not connection.execute("select 1 from sqlite_master where name = 'about'").fetchone():
        return None
    found = connection.execute("select value from about where key = 'version'").fetchone()
    return None if found is None else str(found[0])
