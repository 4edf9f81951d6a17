"""Real clusters for the tests, and a user's trainable that says where it runs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.studies.running import environment

PROCESS = Path(__file__).with_name("cluster_process.py")

# In a folder that is on the driver's path alone. An epoch after the first waits for the file `gate`, if one is named.
USERS_MODULE = """
import json, os, time
import numpy as np
import ray
import trainables
from trainables.protocol import EpochResult

GATE = {gate!r}

class Users:
    class_names = ("background", "object")

    def setup(self, settings, context):
        self.folder, self.applied = context.folder, {{"trainable_parameters": 7}}

    def run_epoch(self, epoch):
        where = dict(epoch=epoch, node=ray.get_runtime_context().get_node_id(), pid=os.getpid(), module=__file__,
            package=trainables.__file__, cuda=os.environ.get("CUDA_VISIBLE_DEVICES"), names=sorted(os.environ))
        with (self.folder / "where.jsonl").open("a") as file:
            file.write(json.dumps(where) + "\\n")
        until = time.monotonic() + 120
        while epoch > 1 and GATE and not os.path.exists(GATE):
            assert time.monotonic() < until
            time.sleep(0.05)
        counts = np.array([[epoch, 1], [1, epoch]], dtype=np.int64)
        return EpochResult(counts, {{"train/loss": 1.0, "val/loss": 1.0 / epoch, "val/ce": 1.0, "lr": 0.1}})

    def state(self):
        return {{}}

    def load_state(self, state):
        pass

    model_state = state

    def reset(self):
        pass
"""


@dataclass
class RunningCluster:
    """A cluster: its address, and how a node dies."""

    address: str
    process: subprocess.Popen[str]

    def kill_node(self, number: int) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(number, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "removed\n"


@contextmanager
def running_cluster(home: Path, *, nodes: int, cpus: int, gpus: int) -> Iterator[RunningCluster]:
    """Its processes do not have this project on their path."""
    seen = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, str(PROCESS), str(nodes), str(cpus), str(gpus)],
        cwd=home,
        env={**seen, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, "no cluster came up"
        yield RunningCluster(address, process)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=180)


def write_users_module(folder: Path, name: str, gate: Path | None = None) -> None:
    """A module `name` with the trainable `Users` in a new folder."""
    folder.mkdir()
    (folder / f"{name}.py").write_text(USERS_MODULE.format(gate=None if gate is None else str(gate)))


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], within_s: float = 120) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert process.poll() is None, "the driver ended"
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


def users_path(folder: Path) -> str:
    """PYTHONPATH of a driver that sees the user's folder."""
    return f"{folder}{os.pathsep}{environment()['PYTHONPATH']}"
