"""What a trial needs of the node that it runs on; it imports no Optuna."""

import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studies.running.trial_place import TrialPlace
from trainables.settings import TrialSettings


class NodeLacks(RuntimeError):
    """A node cannot run a trial."""


def check_data(settings: TrialSettings) -> None:
    """Raise NodeLacks where the node does not have the data at their path."""
    root = settings.data.root
    if root is not None and not Path(root).exists():
        raise NodeLacks(
            f"data.root: {root} is not on node {socket.gethostname()}; mount or copy the data there, at the same path "
            "on every node"
        )


def scratch_folder() -> Path:
    """Where a worker keeps the copies of what lies at a URI: CONTOURNEY_SCRATCH, else a temporary folder."""
    root = os.environ.get("CONTOURNEY_SCRATCH")
    return Path(root) if root else Path(tempfile.gettempdir()) / f"contourney-{os.getuid()}"


def place_of(job: Mapping[str, Any]) -> TrialPlace:
    """The place of a job's files, ready to go on from; raises NodeLacks where the node does not see it."""
    folder = Path(job["folder"])
    if job["remote"] is None:
        # The driver has made it.
        if not folder.is_dir():
            raise NodeLacks(
                f"node {socket.gethostname()} does not see the trial's folder {folder}; share the workspace between "
                "the nodes, or launch with --storage URI, such as s3://bucket/folder"
            )
        return TrialPlace(folder)
    scratch = scratch_folder()
    _sweep(scratch)
    place = TrialPlace(scratch / f"{socket.gethostname()}-{os.getpid()}" / folder.name, job["remote"])
    place.restart()
    return place


def cache_of(job: Mapping[str, Any]) -> Path:
    """The cache of prepared data: the workspace's where the node sees that, else one of the node."""
    cache = Path(job["cache"])
    return cache if cache.parent.is_dir() else scratch_folder() / "cache"


def _sweep(scratch: Path) -> None:
    """Delete the copies of workers of this host that were killed."""
    host = f"{socket.gethostname()}-"
    for folder in scratch.glob(f"{host}*"):
        pid = folder.name.removeprefix(host)
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
