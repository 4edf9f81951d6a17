"""A database's ended trials in the index: Optuna changes none of them any more, so they are asked for once."""

import sqlite3
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

from search.records.index import Index
from search.records.index_trials import UNUSABLE, put_trials, read_trials
from search.storage import open_storage

if TYPE_CHECKING:
    # SQLAlchemy takes long to import, for those who have a journal.
    from search.retrying import RetryingStorage


class DatabaseIndex:
    """Opens a database with the ended trials that the index has, and keeps in the index those that ended since.

    What the index lacks is read from the database, whatever that is.
    """

    def __init__(self, index: Index, url: str) -> None:
        self._index = index
        self._url = url
        self._storage: RetryingStorage | None = None
        # Trials that the index is known to hold.
        self._kept: set[int] = set()
        # Ended trials that the index did not have.
        self.read = 0

    def open(self) -> "RetryingStorage":
        """The database for reading; raises StorageError."""
        from search.retrying import RetryingStorage

        storage = open_storage(self._url)
        assert isinstance(storage, RetryingStorage)
        self._storage = storage
        try:
            self._restore(storage)
        except UNUSABLE as error:
            self._index.discard(f"does not fit its database ({error})")
        return storage

    def keep(self) -> None:
        """Keep the trials that ended since the last time."""
        assert self._storage is not None
        # Optuna's own cache, which grows as it is asked.
        ended = [
            (study_id, trial)
            for study_id, study in self._storage._backend._studies.items()
            for trial in study.trials.values()
            if trial.state.is_finished()
        ]
        new = [(study_id, trial) for study_id, trial in ended if trial._trial_id not in self._kept]
        if new:
            self._index.write(lambda connection: put_trials(connection, new))
            self._kept.update(trial._trial_id for _, trial in new)
            self.read += len(new)

    def _restore(self, storage: "RetryingStorage") -> None:
        found = self._index.read(_by_study)
        there = {study._study_id for study in storage.get_all_studies()}
        for study_id, trials in (found or {}).items():
            if study_id in there:
                # The first and the last one, to the microsecond, tell a study that was made anew under its id.
                for trial in (trials[0], trials[-1]):
                    _check(trial, storage.get_trial(trial._trial_id))
        for study_id, trials in (found or {}).items():
            if study_id in there:
                self._know(storage, study_id, trials)
        self._kept = {trial._trial_id for trials in (found or {}).values() for trial in trials}

    def _know(self, storage: "RetryingStorage", study_id: int, trials: list[FrozenTrial]) -> None:
        """Let Optuna's cache have these trials; those between them had not ended yet."""
        cache = storage._backend
        numbers = {trial.number for trial in trials}
        between = [number for number in range(trials[-1].number) if number not in numbers]
        open_ids = {storage.get_trial_id_from_study_id_trial_number(study_id, number) for number in between}
        storage.get_study_name_from_id(study_id)
        study = cache._studies[study_id]
        cache._add_trials_to_cache(study_id, trials)
        study.last_finished_trial_id = trials[-1]._trial_id
        study.unfinished_trial_ids |= open_ids


def _by_study(connection: sqlite3.Connection) -> dict[int, list[FrozenTrial]]:
    found: dict[int, list[FrozenTrial]] = {}
    for study_id, trial in read_trials(connection):
        found.setdefault(study_id, []).append(trial)
    return found


def _check(kept: FrozenTrial, there: FrozenTrial) -> None:
    def mark(trial: FrozenTrial) -> tuple[object, ...]:
        return trial.number, trial.state, trial.datetime_start, trial.datetime_complete

    if mark(kept) != mark(there):
        raise ValueError(f"trial {kept.number} is another one there")
