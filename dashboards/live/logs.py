"""The end of what a trial printed: logs in its folder, and Ray's logs of its workers where they ran on this machine."""

import os
import socket
import time
from pathlib import Path

from search.records.study import TrialRecord

LOG_BYTES, LOG_LINES = 65536, 200


def log_tails(trial: TrialRecord, ray: Path | None = None) -> dict[str, str]:
    """The last lines of each log that has any, by file name; `ray` is where Ray keeps its sessions.

    A worker trains one trial after another: its log may tell of others too.
    """
    root = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" if ray is None else ray
    paths = sorted(trial.folder.glob("*.log")) + [path for worker in _workers(trial) for path in _of(worker, root)]
    tails = {path.name: _tail(path) for path in paths}
    return {name: text for name, text in tails.items() if text}


def no_log_words(trial: TrialRecord) -> str:
    """Where to look for what a trial printed of which nothing is here."""
    workers = [worker for worker, _ in _workers(trial)]
    if not workers:
        return "The trial's folder has no log file, and no epoch says which worker trained it."
    return (
        "It printed nothing that is on this machine. What a worker prints is in Ray's logs of its node, "
        f"/tmp/ray/session_latest/logs/worker-*-PID.out; node and process of this trial: {', '.join(workers)}."
    )


def _workers(trial: TrialRecord) -> list[tuple[str, float]]:
    """Each worker as HOST:PID, and when its first epoch of this trial began."""
    found: dict[str, float] = {}
    for row in trial.rows:
        found.setdefault(row.worker, row.started_s)
    return list(found.items())


def _of(worker: tuple[str, float], ray: Path) -> list[Path]:
    """The files of a worker of this machine, in the last of Ray's sessions that began before it trained."""
    host, _, process = worker[0].rpartition(":")
    if host != socket.gethostname() or not process.isdigit():
        return []
    before = time.strftime("session_%Y-%m-%d_%H-%M-%S", time.localtime(worker[1] + 1))
    # Process numbers come again in other sessions, whose names are their times.
    for session in sorted((one for one in ray.glob("session_2*") if one.name < before), reverse=True):
        if found := sorted(session.glob(f"logs/worker-*-{process}.*")):
            # On a shared machine the number may be another user's process by now.
            return [path for path in found if os.access(path, os.R_OK)]
    return []


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    # Ray's own marks of whose lines follow.
    return "\n".join(line for line in lines[-LOG_LINES:] if not line.startswith((":job_id:", ":actor_name:")))
