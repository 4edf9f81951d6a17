"""The studies of one storage while they run: kept open, and only what changed since the last look is read again."""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from search.records.index import Index
from search.records.index_rows import RowIndex
from search.records.lease import LeaseRecord, read_lease
from search.records.live_storage import LiveStorage
from search.records.live_trial import LiveTrial
from search.records.study import (
    ROWS,
    RecordError,
    StudyRecord,
    TrialRecord,
    study_record,
    trial_record,
    trials_root,
)
from search.replacing import whole_studies
from search.storage import StorageError, shown

# Who holds a study is asked on a connection of its own.
LEASE_S = 5.0
# What is new is kept in the index this often at most, and at the end.
KEEP_S = 30.0
# Optuna studies that hold no trials of anybody.
LEDGER = "contourney-vault"


@dataclass(frozen=True)
class Loaded:
    """What the first look found: trials, and how many records and rows of theirs the index did not have."""

    trials: int
    new_records: int
    new_rows: int

    @property
    def words(self) -> str:
        """What was read, in a few words."""
        trials = f"index: {self.trials} trial{'' if self.trials == 1 else 's'}"
        if self.new_records + self.new_rows == 0:
            return f"{trials}, none changed since it was built; opened"
        return f"{trials}; {self.new_records} new records and {self.new_rows} new epochs read"


@dataclass(frozen=True)
class Snapshot:
    """A study, its lease (None of a study that none of our drivers made), and a mark that differs from every other
    state of it that this process has shown.
    """

    revision: str
    study: StudyRecord
    lease: LeaseRecord | None


@dataclass(frozen=True)
class _Seen:
    looked: Any
    study_id: int
    attrs: dict[str, Any]
    trials: Sequence[FrozenTrial]
    snapshot: Snapshot


class LiveRecords:
    """Reads the studies of a storage again and again; safe for several threads, and it never writes.

    Optuna's journal is replayed from where the last look ended, and a trial that did not change keeps its record. With
    an index the first look begins where the last one of any process ended.
    """

    def __init__(self, storage: str, root: Path | None = None, index: Index | None = None) -> None:
        """`root` is the folder below which trial folders lie that are recorded as relative paths."""
        self.root = (trials_root(storage) if root is None else root).absolute()
        self._storage = storage
        self._opened = LiveStorage(storage, index)
        self._index = index
        self._rows = RowIndex(index, self.root)
        # Files of rows that came or changed since the index was told.
        self._new_rows: set[Path] = set()
        self._rows_read = 0
        self._kept_s = time.monotonic()
        self._lock = threading.Lock()
        self._listed: tuple[Any, dict[str, FrozenStudy]] = (None, {})
        self._seen: dict[str, _Seen] = {}
        self._distributions: dict[BaseDistribution, BaseDistribution] = {}
        self._lease_asked_s: dict[str, float] = {}
        # Pages that were drawn by an earlier process must not take its count for ours.
        self._instance, self._count = f"{time.time_ns():x}", 0

    @property
    def unindexed(self) -> bool:
        """Whether there are records and no index of them yet: the first look takes its time."""
        file = self._opened.file
        there = file is None or file.exists()
        return there and self._index is not None and not self._index.path.exists()

    def names(self) -> list[str]:
        """Names of all studies, the vault's ledger aside; none where there is no storage yet. Raises RecordError."""
        with self._lock:
            return sorted(self._studies(self._opened.look()))

    def load(self) -> Loaded:
        """Read every study that can be read, and what the index lacks of it, so that later looks find little to do."""
        files: list[Path] = []
        for name in self.names():
            with suppress(RecordError):
                files += [trial.folder / ROWS for trial in self.read(name).study.trials]
        with self._lock:
            self._keep()
            self._rows.keep_only(files)
            return Loaded(len(files), self._opened.new_records, self._rows_read)

    def close(self) -> None:
        """Keep what is new, and close the index."""
        with self._lock:
            self._keep()
            if self._index is not None:
                self._index.close()

    def read(self, name: str) -> Snapshot:
        """The study as it is now; raises RecordError for one that is not there or cannot be read."""
        with self._lock:
            looked = self._opened.look()
            if looked is None:
                self._seen.clear()
            seen = self._seen.get(name)
            if seen is None or seen.looked != looked:
                seen = self._seen[name] = self._read(name, looked, seen)
                if self._index is not None and time.monotonic() - self._kept_s > KEEP_S:
                    self._keep()
            lease = self._lease(name, seen.snapshot)
            if lease != seen.snapshot.lease:
                seen = self._seen[name] = replace(seen, snapshot=self._snapshot(seen.snapshot.study, lease))
            return seen.snapshot

    def _snapshot(self, study: StudyRecord, lease: LeaseRecord | None) -> Snapshot:
        self._count += 1
        return Snapshot(f"{self._instance}-{self._count}", study, lease)

    def _lease(self, name: str, before: Snapshot) -> LeaseRecord | None:
        """Who runs the study; of a server's database as it was some seconds ago, or last could be asked."""
        if not before.study.settings:
            return None
        asked_s = self._lease_asked_s.get(name)
        if self._opened.file is None and asked_s is not None and time.monotonic() - asked_s < LEASE_S:
            return before.lease
        self._lease_asked_s[name] = time.monotonic()
        try:
            return read_lease(self._storage, name)
        except StorageError:
            return before.lease

    def _keep(self) -> None:
        """Tell the index what is new."""
        if self._index is None:
            return
        self._opened.keep()
        files, self._new_rows = self._new_rows, set()
        self._rows_read += self._rows.update(files)
        self._kept_s = time.monotonic()

    def _read(self, name: str, looked: Any, seen: _Seen | None) -> _Seen:
        found = self._studies(looked).get(name)
        if found is None:
            self._seen.pop(name, None)
            raise RecordError(f"no study {name!r} in {shown(self._storage)}")
        study_id = found._study_id
        try:
            trials = self._opened.ask(lambda storage: storage.get_all_trials(study_id, deepcopy=False))
        except KeyError as error:
            raise RecordError(f"study {name!r} was deleted") from error
        known: Sequence[FrozenTrial] = ()
        records: Sequence[TrialRecord] = ()
        if seen is not None and seen.study_id == study_id:
            known, records = seen.trials, seen.snapshot.study.trials
            if found.user_attrs == seen.attrs and len(known) == len(trials) and all(map(_same, known, trials)):
                return _Seen(looked, study_id, seen.attrs, trials, seen.snapshot)
        # Optuna replaces a trial that changes, and keeps the object of one that did not.
        kept = [record for record, old, new in zip(records, known, trials, strict=False) if old is new]
        by_number = {record.number: record for record in kept}
        made = tuple(by_number.get(one.number) or self._record(one) for one in trials)
        directions: Sequence[StudyDirection] = found.directions
        record = study_record(name, directions, found.user_attrs, made)
        snapshot = self._snapshot(record, None if seen is None else seen.snapshot.lease)
        return _Seen(looked, study_id, found.user_attrs, trials, snapshot)

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        """A trial whose folder lies below the root: a storage may hold any text, and what is read of it is shown."""
        record = trial_record(trial, self.root)
        folder = Path(os.path.normpath(record.folder))
        if not folder.is_relative_to(self.root):
            folder = self.root / "no-such-folder"
        if self._index is not None:
            self._new_rows.add(folder / ROWS)
        shared = {path: self._shared(one) for path, one in record.distributions.items()}
        return LiveTrial(**{**vars(record), "folder": folder, "distributions": shared}, index=self._rows)

    def _shared(self, distribution: BaseDistribution) -> BaseDistribution:
        """One object of all that are equal: a replayed journal has as many as parameters were given."""
        try:
            return self._distributions.setdefault(distribution, distribution)
        except TypeError:
            # Of choices that have no hash, as lists.
            return distribution

    def _studies(self, looked: Any) -> dict[str, FrozenStudy]:
        """All studies by name, as of this look."""
        if self._listed[0] != looked or looked is None:
            found = self._opened.ask(lambda storage: storage.get_all_studies())
            self._listed = looked, {name: one for name, one in whole_studies(found).items() if name != LEDGER}
        return self._listed[1]


def _same(one: FrozenTrial, other: FrozenTrial) -> bool:
    return one is other
