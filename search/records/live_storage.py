"""A storage that is looked at again and again: kept open, with what the index has of its trials."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from optuna.storages import BaseStorage

from search.records.index import Index
from search.records.index_database import DatabaseIndex
from search.records.index_journal import JournalIndex
from search.records.study import RecordError
from search.storage import StorageError, StorageLost, is_url, open_storage, shown, storage_file

# A database tells nobody that it changed; it is asked this often at most.
DATABASE_S = 1.0

T = TypeVar("T")


class LiveStorage:
    """A journal or a database; with an index the first look begins where the last one of any process ended."""

    def __init__(self, storage: str, index: Index | None) -> None:
        self._storage = storage
        self._index = index
        self.file = storage_file(storage)
        self._opened: tuple[BaseStorage, int] | None = None
        self._trials: JournalIndex | DatabaseIndex | None = None

    @property
    def new_records(self) -> int:
        """Records, a journal's lines or a database's ended trials, that the index has been told of by this process."""
        return 0 if self._trials is None else self._trials.read

    def look(self) -> Any:
        """A mark that changes when the storage may have, None where there is none yet; raises RecordError.

        Opens the storage, again where its file is another one.
        """
        if self.file is None:
            if self._opened is None:
                self._opened = self._open(), 0
            return int(time.monotonic() / DATABASE_S)
        try:
            file = os.stat(self.file)
        except OSError:
            self._opened, self._trials = None, None
            return None
        if self._opened is None or self._opened[1] != file.st_ino:
            self._opened = self._open(), file.st_ino
        # SQLite in WAL mode writes beside its file.
        beside = Path(f"{self.file}-wal")
        return file.st_ino, file.st_size, file.st_mtime_ns, beside.stat().st_mtime_ns if beside.exists() else 0

    def ask(self, question: Callable[[BaseStorage], list[T]]) -> list[T]:
        """What the storage answers, nothing where there is none yet; raises RecordError, KeyError as Optuna does."""
        if self._opened is None:
            return []
        # What a journal was read to when it proved damaged is no state to go on from at the next start.
        trials, self._trials = self._trials, None
        try:
            answer = question(self._opened[0])
            self._trials = trials
            return answer
        except StorageLost as error:
            # A server that is away comes back.
            self._trials = trials
            raise RecordError(str(error)) from error
        except ValueError as error:
            # A journal that was damaged since it was opened.
            raise RecordError(f"{shown(self._storage)} cannot be read: {error}") from error

    def _open(self) -> BaseStorage:
        try:
            if self._index is None:
                return open_storage(self._storage)
            trials = (
                DatabaseIndex(self._index, self._storage)
                if is_url(self._storage)
                else JournalIndex(self._index, Path(self._storage))
            )
            opened = trials.open()
            self._trials = trials
            return opened
        except (StorageError, StorageLost) as error:
            raise RecordError(str(error)) from error

    def keep(self) -> None:
        """Tell the index what is new."""
        if self._trials is not None:
            self._trials.keep()
