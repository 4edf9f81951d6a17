"""A database storage that outlives restarts of its server: each call is tried again, and leaves one effect."""

import copy
import json
import logging
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, _CachedStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError

from search.storage import CREATED, StorageLost, masked, shown

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
# A driver's storage may be away this long, any other's not so long: a restart takes seconds.
DRIVER_PATIENCE_S = 300.0
PATIENCE_S = 30.0
# Once an end is asked for: a machine that is taken away gives half a minute for all of it.
ENDING_PATIENCE_S = 10.0
# How old the knowledge that the lease is held may be at a write.
LEASE_CHECK_S = 1.0

P = ParamSpec("P")
T = TypeVar("T")


class Lease(Protocol):
    """What allows to write."""

    def check(self) -> None:
        """Take it again where it was lost with a connection; raises where somebody else has it meanwhile."""


class CreatingOnce(RDBStorage):
    """Optuna's storage that makes no second trial of an attempt whose commit was not acknowledged."""

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        super().__init__(url, engine_kwargs=engine_kwargs)
        self.tried: set[str] = set()

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: Any) -> Any:
        from optuna.storages._rdb.models import TrialModel, TrialSystemAttributeModel

        # Called once an attempt, in its transaction, with the study's row locked.
        assert template_trial is not None
        attempt = template_trial.system_attrs[CREATED]
        if attempt in self.tried:
            made = session.query(TrialModel).join(TrialSystemAttributeModel).filter(TrialModel.study_id == study_id)
            made = made.filter(TrialSystemAttributeModel.key == CREATED)
            if found := made.filter(TrialSystemAttributeModel.value_json == json.dumps(attempt)).one_or_none():
                return found
        self.tried.add(attempt)
        return super()._get_prepared_new_trial(study_id, template_trial, session)


def _tried(
    method: Callable[Concatenate[BaseStorage, P], T], *, write: bool
) -> Callable[Concatenate["RetryingStorage", P], T]:
    """A method of Optuna's storage whose second call with the same arguments changes nothing, tried again."""

    def call(self: "RetryingStorage", /, *args: P.args, **kwargs: P.kwargs) -> T:
        one: Callable[P, T] = getattr(self._backend, method.__name__)
        return self._insist(lambda again: one(*args, **kwargs), write=write)

    call.__doc__ = method.__doc__
    return call


class RetryingStorage(BaseStorage):
    """A database storage whose calls wait while the server is away; one that waits too long raises StorageLost.

    Once guarded by a lease it writes only while that is held: the lease is taken again before the first write after
    a lost connection, and looked at every second. An attempt whose commit was not acknowledged may have been carried
    out; the next finds out.
    """

    def __init__(self, backend: CreatingOnce) -> None:
        self._created = backend.tried
        self._backend = _CachedStorage(backend)
        self._shown = shown(backend.url)
        self._url = backend.url
        self._lease: Lease | None = None
        self._say: Callable[[str], None] = _nothing
        self._patience_s = PATIENCE_S
        self._lock = threading.Lock()
        self._away = False
        self._checked_s = -LEASE_CHECK_S
        # Why nothing is written any more.
        self._end: StorageLost | None = None
        # Optuna has no end for a storage, and an open connection at the end is a warning.
        weakref.finalize(self, backend.engine.dispose)
        this = weakref.ref(self)
        event.listen(backend.engine, "connect", lambda *_: _connected(this()))
        # While the server is away Optuna takes that for too large a query and says so.
        logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)

    def guard(self, lease: Lease, say: Callable[[str], None]) -> None:
        """Write under `lease` alone, with a driver's patience; `say` is told when the server goes and comes."""
        self._lease, self._say, self._patience_s = lease, say, DRIVER_PATIENCE_S

    def hurry(self) -> None:
        """Wait ENDING_PATIENCE_S at most from now on, also in the call under way; a signal handler may call it."""
        self._patience_s = ENDING_PATIENCE_S

    create_new_study = _tried(BaseStorage.create_new_study, write=True)
    set_study_user_attr = _tried(BaseStorage.set_study_user_attr, write=True)
    set_study_system_attr = _tried(BaseStorage.set_study_system_attr, write=True)
    set_trial_param = _tried(BaseStorage.set_trial_param, write=True)
    set_trial_intermediate_value = _tried(BaseStorage.set_trial_intermediate_value, write=True)
    set_trial_user_attr = _tried(BaseStorage.set_trial_user_attr, write=True)
    set_trial_system_attr = _tried(BaseStorage.set_trial_system_attr, write=True)
    get_study_id_from_name = _tried(BaseStorage.get_study_id_from_name, write=False)
    get_study_name_from_id = _tried(BaseStorage.get_study_name_from_id, write=False)
    get_study_directions = _tried(BaseStorage.get_study_directions, write=False)
    get_study_user_attrs = _tried(BaseStorage.get_study_user_attrs, write=False)
    get_study_system_attrs = _tried(BaseStorage.get_study_system_attrs, write=False)
    get_all_studies = _tried(BaseStorage.get_all_studies, write=False)
    get_trial_id_from_study_id_trial_number = _tried(BaseStorage.get_trial_id_from_study_id_trial_number, write=False)
    get_trial = _tried(BaseStorage.get_trial, write=False)
    get_all_trials = _tried(BaseStorage.get_all_trials, write=False)
    get_best_trial = _tried(BaseStorage.get_best_trial, write=False)

    def delete_study(self, study_id: int) -> None:
        """Delete a study and its trials; gone at a second attempt it was deleted by the first."""

        def delete(again: bool) -> None:
            try:
                self._backend.delete_study(study_id)
            except KeyError:
                if not again:
                    raise

        self._insist(delete, write=True)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create one trial, however many attempts it takes; returns its id."""
        # Without a template Optuna would make the same: RUNNING from now, and nothing else.
        marked = create_trial(state=TrialState.RUNNING) if template_trial is None else copy.deepcopy(template_trial)
        attempt = uuid.uuid4().hex
        marked.system_attrs = {**marked.system_attrs, CREATED: attempt}
        try:
            return self._insist(lambda again: self._backend.create_new_trial(study_id, marked), write=True)
        finally:
            self._created.discard(attempt)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Change a trial's state; what an attempt of this call did already is done."""

        def change(again: bool) -> bool:
            # Only the lease's holder writes: a trial in this state was put there by the attempt before.
            if again and _is_in(self._backend.get_trial(trial_id), state, values):
                return True
            return self._backend.set_trial_state_values(trial_id, state, values)

        return self._insist(change, write=True)

    def remove_session(self) -> None:
        """Close this thread's session."""
        self._backend._backend.remove_session()

    def _insist(self, call: Callable[[bool], T], *, write: bool) -> T:
        """The result of `call`, which is told whether an attempt came before, tried until the server answers."""
        since_s, wait_s, again = time.monotonic(), FIRST_WAIT_S, False
        while True:
            if self._end is not None and write:
                raise self._end
            try:
                if write:
                    self._check_lease()
                result = call(again)
            except (StorageInternalError, SQLAlchemyError) as error:
                if not is_connection_error(error):
                    raise
                again = True
                self._note_away(error)
                if self._end is not None or time.monotonic() - since_s > self._patience_s:
                    raise self._give_up(error) from error
                time.sleep(wait_s)
                wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
            else:
                self._note_back()
                return result

    def _check_lease(self, *, now: bool = False) -> None:
        with self._lock:
            if self._lease is None or (time.monotonic() - self._checked_s < LEASE_CHECK_S and not now):
                return
            try:
                self._lease.check()
            except StorageLost as error:
                self._end = error
                raise
            self._checked_s = time.monotonic()

    def _note_away(self, error: Exception) -> None:
        with self._lock:
            self._checked_s = -LEASE_CHECK_S
            told, self._away = self._away, True
        if not told:
            self._say(
                f"the Optuna storage {self._shown} does not answer ({self._reason(error)}); trying again for up to "
                + (f"{self._patience_s / 60:g} minutes" if self._patience_s >= 60 else f"{self._patience_s:g} seconds")
            )

    def _note_back(self) -> None:
        if not self._away:
            return
        with self._lock:
            told, self._away = not self._away, False
        if not told:
            self._say("the Optuna storage answers again; nothing is lost")

    def _give_up(self, error: Exception) -> StorageLost:
        self._end = self._end or StorageLost(
            f"the Optuna storage {self._shown} has not answered for {self._patience_s:g} s ({self._reason(error)}); "
            "nothing that it took is lost: start it, then go on with contourney resume"
        )
        return self._end

    def _reason(self, error: Exception) -> str:
        cause = error.__cause__ or error
        text = str(getattr(cause, "orig", None) or cause).strip() or type(cause).__name__
        return masked(text.splitlines()[0], self._url)[:200]


def guard(study: optuna.Study, lease: Lease, say: Callable[[str], None]) -> None:
    """Let the study's storage write under `lease` alone and wait for its server; a journal needs neither."""
    guard_storage(study._storage, lease, say)


def guard_storage(storage: BaseStorage, lease: Lease, say: Callable[[str], None]) -> None:
    """As `guard`, for a storage."""
    if isinstance(storage, RetryingStorage):
        storage.guard(lease, say)


def hurry(study: optuna.Study) -> None:
    """An end is asked for: a server that is away is given up soon; a journal has none."""
    if isinstance(study._storage, RetryingStorage):
        study._storage.hurry()


def is_connection_error(error: BaseException) -> bool:
    """Whether an error of the storage is about its server (away, restarting, full, locked) and not about the call."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    # The last is what a session says when its connection has died in an earlier statement.
    return isinstance(cause, (OperationalError, InterfaceError, PendingRollbackError))


def _is_in(trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> bool:
    return trial.state is state and (not state.is_finished() or trial.values == (values and [*map(float, values)]))


def _connected(storage: RetryingStorage | None) -> None:
    # A new connection may follow one that died unnoticed, and the lease with it.
    if storage is not None:
        storage._check_lease(now=True)


def _nothing(text: str) -> None:
    pass
