"""A driver with real Ray workers in an epoch: a second driver, a kill, SIGTERM, Ctrl-C twice, the deadline."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from optuna.trial import TrialState

from benchmarks.check_study import check_study
from benchmarks.records import read_records
from studies.stored import open_study
from studies.workspace import Workspace
from tests.studies.running import ROOT, command, contourney, environment, ready

pytestmark = pytest.mark.slow

EPOCHS = 3
FILE = f"""
name: held
trial:
  entry: tests.studies.scripted:Held
  epochs: {EPOCHS}
  data: {{format: terrain, terrain: {{images: 12}}}}
space:
  optimizer.lr: {{low: 1e-5, high: 1e-1, log: true}}
search: {{trials: 4, pruner: {{name: none}}}}
resources: {{workers: 2}}
"""
# What Slurm, Kubernetes and spot machines leave between SIGTERM and the end.
GRACE_S = 30


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "waited two minutes"
        time.sleep(0.05)


class Held:
    """The study `held`, its drivers and what they left."""

    def __init__(self, root: Path) -> None:
        self.file = root / "study.yaml"
        self.file.write_text(FILE)
        self.place = Workspace.open(root / "w")

    def states(self) -> list[TrialState]:
        return [trial.state for trial in open_study("held", self.place).trials]

    def open(self, *words: str) -> subprocess.Popen[str]:
        """A driver whose two trials are in their second epoch."""
        process = subprocess.Popen(
            command(*words, "--workspace", str(self.place.root)),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # A worker that starts says so here, before its first epoch.
        written = [self.place.trial_folder("held", number) / "environment.json" for number in (0, 1)]
        rows = [path.with_name("epochs.jsonl") for path in written]
        before = [path.stat().st_mtime_ns if path.exists() else 0 for path in written]
        wait_for(
            lambda: (
                process.poll() is not None
                or all(
                    path.exists() and path.stat().st_mtime_ns > time_ns and row.exists()
                    for path, time_ns, row in zip(written, before, rows, strict=True)
                )
            )
        )
        assert process.poll() is None, process.communicate()[0]
        return process


@contextmanager
def held(root: Path, *words: str) -> Iterator[tuple[Held, subprocess.Popen[str]]]:
    study = Held(root)
    process = study.open(*words, *([str(study.file)] if words == ("launch",) else []))
    try:
        yield study, process
    finally:
        process.kill()
        process.communicate()


def test_whatever_ends_a_driver_the_next_one_goes_on(tmp_path: Path) -> None:
    ready(tmp_path / "w")
    with held(tmp_path, "launch") as (study, process):
        root = str(study.place.root)
        refused = contourney("resume", "held", "--workspace", root)
        assert refused.returncode == 2
        assert f"process {process.pid} on " in refused.stderr
        assert " since 20" in refused.stderr
        assert study.states() == [TrialState.RUNNING] * 2
        process.kill()

    # The kernel gave the lease back: the holder is dead.
    with held(tmp_path, "resume", "held") as (_, process):
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=GRACE_S)[0]
        assert process.returncode == 130
        assert "trial 0 was left running by a driver that died" in said
        assert f"go on with: contourney resume held --workspace {root}" in said
        assert study.states() == [TrialState.WAITING] * 2
        runs = read_records(study.place.root, "held").runs
        assert [run.info.status for run in runs.values()] == ["SCHEDULED"] * 2

    with held(tmp_path, "resume", "held") as (_, process):
        process.send_signal(signal.SIGINT)
        wait_for(lambda: study.states() == [TrialState.WAITING] * 2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=GRACE_S)
        assert process.returncode == 130

    (study.place.root / "go").touch()
    done = contourney("resume", "held", "--workspace", root)
    assert done.returncode == 0, done.stdout + done.stderr
    check_study(read_records(study.place.root, "held"), 4, EPOCHS, least_pruned=0)


def test_at_the_deadline_open_trials_wait_and_more_hours_go_on(tmp_path: Path) -> None:
    study = Held(tmp_path)
    root = ("--workspace", str(ready(study.place.root)))
    # Over before a worker has started: the clock is that of the driver.
    done = contourney("launch", str(study.file), "--hours", "0.0001", *root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the hours are over; go on with: contourney extend held" in done.stdout
    assert study.states().count(TrialState.WAITING) == len(study.states())
    spent_s = open_study("held", study.place).user_attrs["driver_s"]
    (study.place.root / "go").touch()
    done = contourney("extend", "held", "--hours", "1", *root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert open_study("held", study.place).user_attrs["driver_s"] > spent_s >= 0.36
    check_study(read_records(study.place.root, "held"), 4, EPOCHS, least_pruned=0)
