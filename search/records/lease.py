"""Who runs a study: its lease as a record, and what that makes of trials that are said to run."""

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass

from search.lease import find_holder
from search.states import COUNTED

_COUNTED = frozenset(state.name for state in COUNTED)


@dataclass(frozen=True)
class LeaseRecord:
    """Whether a process holds a study; who that is, or who was the last, and since when (Unix seconds), if noted."""

    held: bool
    pid: int | None = None
    host: str | None = None
    since_s: float | None = None

    @property
    def holder(self) -> str:
        """The process in words."""
        if self.pid is None or self.since_s is None:
            return "a process"
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since_s))
        return f"process {self.pid} on {self.host}, since {since}"


def read_lease(storage: str, study: str) -> LeaseRecord:
    """The lease of a study in a storage; taking it is not tried. Raises StorageError."""
    held, note = find_holder(storage, study)
    try:
        return LeaseRecord(held, int(note["pid"]), str(note["host"]), float(note["since_s"]))
    except (KeyError, TypeError, ValueError):
        return LeaseRecord(held)


def study_state(states: Mapping[str, int], total: int | None, lease: LeaseRecord | None) -> str:
    """In a word, what a study does, from its number of trials by state and its budget; without a lease none is known
    of it, and its trials are believed.
    """
    ended = sum(states.get(state, 0) for state in _COUNTED)
    running = bool(states.get("RUNNING"))
    if total is not None and ended >= total and not running:
        return "finished"
    if running if lease is None else lease.held:
        return "running"
    if running or states.get("WAITING"):
        return "interrupted"
    return "idle" if ended else "new"


def state_words(name: str, state: str, lease: LeaseRecord | None) -> str:
    """The state with who runs the study or did, and how an interrupted one goes on."""
    if state == "running" and lease is not None:
        return f"running: {lease.holder}"
    if state == "interrupted":
        gone = f" (last held by {lease.holder})" if lease is not None and lease.pid is not None else ""
        return f"interrupted{gone}; contourney resume {shlex.quote(name)} goes on"
    return state
