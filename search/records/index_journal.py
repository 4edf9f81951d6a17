"""Optuna's journal in the index: it is replayed from where the index ends, not from its first line."""

import hashlib
import json
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalStorageReplayResult
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from search.records.index import Index
from search.records.index_trials import UNUSABLE, put_trials, read_trials
from search.storage import open_storage

# Of a journal's start and of the end of what was read of it: they tell another journal.
MARK_BYTES = 4096


class JournalIndex:
    """Opens a journal with what the index has of it, and keeps in the index what was read since.

    A journal only grows: the state after a number of its lines is a fact, whichever process keeps it.
    """

    def __init__(self, index: Index, journal: Path) -> None:
        self._index = index
        self._journal = journal
        self._opened: tuple[JournalStorage, JournalFileBackend] | None = None
        # What the index is known to hold: so many lines, and these trials.
        self._lines = 0
        self._kept: dict[int, FrozenTrial] = {}
        # Lines that the index did not have.
        self.read = 0

    def open(self) -> JournalStorage:
        """The journal's storage for reading; raises StorageError."""
        storage = open_storage(str(self._journal), begin=self._begin)
        assert isinstance(storage, JournalStorage)
        return storage

    def keep(self) -> None:
        """Keep what was read since the last time."""
        assert self._opened is not None
        storage, backend = self._opened
        state = storage._replay_result
        lines = state.log_number_read
        if lines == self._lines:
            return
        end = backend._log_number_offset[lines]
        # Optuna remembers where every line begins, a hundred bytes each; it goes on at this one.
        backend._log_number_offset = {lines: end}
        mark = _mark(self._journal, end)
        if mark is None:
            return

        def write(connection: sqlite3.Connection) -> None:
            there = None
            with suppress(*UNUSABLE):
                there = self._there(connection)
            if there is not None and there["lines"] >= lines:
                return
            # The file may have been deleted, or be an older one, since this process wrote to it.
            whole = there is None or there["lines"] < self._lines
            if whole:
                connection.execute("delete from trials")
            studies = state._trial_id_to_study_id
            changed = (
                (studies[trial_id], trial)
                for trial_id, trial in state._trials.items()
                if whole or self._kept.get(trial_id) is not trial
            )
            put_trials(connection, changed)
            about = {"lines": lines, "bytes": end, "mark": mark, "next": state._next_study_id}
            text = json.dumps({**about, "studies": [_described(one) for one in state._studies.values()]})
            connection.execute("insert or replace into about values ('journal', ?)", (text,))

        self._index.write(write)
        self.read += lines - self._lines
        self._lines, self._kept = lines, dict(state._trials)

    def _begin(self, backend: JournalFileBackend) -> JournalStorage:
        """The storage as the index has it, with the lines that came since."""
        storage = _unread(backend)
        try:
            self._restore(storage, backend)
        except UNUSABLE as error:
            self._index.discard(f"does not fit {self._journal} ({error})")
            storage = _unread(backend)
        storage.get_all_studies()
        self._opened = storage, backend
        return storage

    def _restore(self, storage: JournalStorage, backend: JournalFileBackend) -> None:
        found = self._index.read(lambda one: (self._there(one), list(read_trials(one))))
        there, trials = found or (None, [])
        if there is None:
            return
        state = JournalStorageReplayResult(storage._replay_result._worker_id_prefix)
        state.log_number_read, state._next_study_id = there["lines"], there["next"]
        state._studies = {one["study_id"]: _study(one) for one in there["studies"]}
        state._study_id_to_trial_ids = {study_id: [] for study_id in state._studies}
        for study_id, trial in trials:
            state._trials[trial._trial_id] = trial
            state._trial_id_to_study_id[trial._trial_id] = study_id
            state._study_id_to_trial_ids.setdefault(study_id, []).append(trial._trial_id)
        if list(state._trials) != list(range(len(state._trials))):
            raise ValueError("trials are missing")
        backend._log_number_offset = {there["lines"]: there["bytes"]}
        storage._replay_result = state
        self._lines, self._kept = there["lines"], dict(state._trials)

    def _there(self, connection: sqlite3.Connection) -> dict[str, Any] | None:
        """What the index says of the journal, None where that is nothing; raises ValueError where it is another's."""
        found = connection.execute("select value from about where key = 'journal'").fetchone()
        if found is None:
            return None
        about: dict[str, Any] = json.loads(found[0])
        mark = _mark(self._journal, about["bytes"])
        if mark is None or about["mark"] != mark:
            raise ValueError("another journal was read")
        return about


def _unread(backend: JournalFileBackend) -> JournalStorage:
    """A storage that has read no line yet; Optuna's constructor reads all."""
    storage = JournalStorage.__new__(JournalStorage)
    storage.__setstate__({"_backend": backend})
    backend._log_number_offset = {0: 0}
    return storage


def _mark(journal: Path, end: int) -> str | None:
    """A digest of the journal's first bytes and of those before `end`; None where it is shorter, or gone."""
    try:
        with journal.open("rb") as file:
            start = file.read(min(MARK_BYTES, end))
            file.seek(max(0, end - MARK_BYTES))
            last = file.read(min(MARK_BYTES, end))
            whole = file.tell() == end
    except OSError:
        return None
    return hashlib.sha256(start + last).hexdigest() if whole else None


def _described(study: FrozenStudy) -> dict[str, Any]:
    return {
        "study_id": study._study_id,
        "study_name": study.study_name,
        "directions": [int(one) for one in study.directions],
        "user_attrs": study.user_attrs,
        "system_attrs": study.system_attrs,
    }


def _study(about: dict[str, Any]) -> FrozenStudy:
    directions = [StudyDirection(one) for one in about["directions"]]
    return FrozenStudy(direction=None, **{**about, "directions": directions})
