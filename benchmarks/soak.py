"""Kill a study's driver again and again and compare its records in the end: python -m benchmarks.soak [--kills N].

The whole path is real: the command line, Ray, PostgreSQL for Optuna and a second database for MLflow, a tracking server
over HTTP. While drivers die at random moments, the servers are crashed and started again.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import optuna

from benchmarks.check_study import check_study
from benchmarks.command import ROOT
from benchmarks.expect import expect_that
from benchmarks.measure import hardware, today, versions
from benchmarks.records import read_records
from tests.servers import Postgres, Served, mlflow_server, postgres_binaries

NAME = "soak"
EPOCHS = 10
STUDY = f"""
name: {NAME}
trial:
  entry: benchmarks.reporting:Paced
  epochs: {EPOCHS}
  data: {{format: terrain, terrain: {{images: 12}}}}
space:
  optimizer.lr: {{low: 1e-5, high: 1e-1, log: true}}
  optimizer.weight_decay: {{low: 1e-6, high: 1e-2, log: true}}
resources: {{workers: 2}}
"""
# Every how many drivers a server is crashed while the driver runs.
POSTGRES_EVERY, MLFLOW_EVERY = 10, 7
AWAY_S = 3.0
KILLED = "driver killed (SIGKILL)"
PAGE = ROOT / "docs" / "reliability.md"
MARKS = ("<!-- soak -->", "<!-- end soak -->")


@dataclass
class Soak:
    """What was done to the study and how it took it."""

    faults: Counter[str] = field(default_factory=Counter)
    first_s: list[float] = field(default_factory=list)


class Driver:
    """A driver in a session of its own, and when it told of ended trials."""

    def __init__(self, arguments: Sequence[str], variables: dict[str, str]) -> None:
        self.started = time.monotonic()
        self.ends: list[float] = []
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "studies.cli", *arguments],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ended(self, trials: int) -> bool:
        """Wait until so many trials have ended under this driver; False if it ended before."""
        while len(self.ends) < trials and self.process.poll() is None:
            time.sleep(0.01)
        return self.process.poll() is None

    def kill(self) -> int:
        """SIGKILL to the driver alone, Ray's processes notice by themselves; returns the exit code."""
        self.process.send_signal(signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait()
        self._reader.join(timeout=30)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("["):
                self.ends.append(time.monotonic())


def soak(root: Path, trials: int, kills: int, seed: int, postgres: Postgres, storage: str, mlflow: Served) -> Soak:
    """Launch the study, kill `kills` drivers, fewer where it ends before, and let the last one finish."""
    file = root / "soak.yaml"
    file.write_text(STUDY)
    place = ("--workspace", str(root / "w"))
    variables = {"OPTUNA_STORAGE": storage, "MLFLOW_TRACKING_URI": mlflow.url}
    moments, done, ended, number = random.Random(seed), Soak(), 0, 0
    while True:
        left = kills - done.faults[KILLED]
        # So that what is left of the kills is spread over what is left of the study.
        pace = 2 * (trials - ended) // (left + 1)
        words = ("launch", str(file), "--trials", str(trials)) if number == 0 else ("resume", NAME)
        driver = Driver([*words, *place], variables)
        alive = driver.ended(moments.randint(0, pace) if left else 1)
        if alive and number % POSTGRES_EVERY == POSTGRES_EVERY - 1:
            done.faults["PostgreSQL crashed and restarted"] += 1
            postgres.restart()
        if alive and number % MLFLOW_EVERY == MLFLOW_EVERY - 1:
            done.faults["MLflow server killed, back after 3 s"] += 1
            mlflow.kill()
            time.sleep(AWAY_S)
            mlflow.start()
        if left and alive:
            # From the start, when nothing is there yet, to the middle of a write.
            time.sleep(moments.uniform(0.0, 0.5))
            if driver.kill() == -signal.SIGKILL:
                done.faults[KILLED] += 1
        code, said = driver.wait(), "".join(driver.said)
        ended += len(driver.ends)
        done.first_s += [driver.ends[0] - driver.started] if driver.ends else []
        if code == 2 and f"MLflow at {mlflow.url} does not answer" in said:
            # It was in the middle of its start when the server was gone; nothing is made then.
            done.faults["a start refused while the MLflow server was away"] += 1
        else:
            expect_that(code in (0, -signal.SIGKILL), "a driver that ends or is killed", said)
        print(f"driver {number}: exit {code}, {len(driver.ends)} trials ended", flush=True)
        if code == 0:
            return done
        number += 1


def table(done: Soak, trials: int, wall_s: float, command: str) -> str:
    """The section of docs/reliability.md."""
    rows = [(what, str(count)) for what, count in sorted(done.faults.items())]
    rows += [
        ("trials asked for, ended in the records", f"{trials}, {trials}"),
        ("trials lost", "0"),
        ("trials or epochs recorded twice", "0"),
        ("differences between Optuna, trial folders and MLflow", "0"),
        (
            "from the command to the first trial that ends: median, longest",
            f"{statistics.median(done.first_s):.1f} s, {max(done.first_s):.1f} s (Ray's start among it)",
        ),
        ("wall time", f"{wall_s:.0f} s"),
    ]
    lines = "\n".join(f"| {what} | {came} |" for what, came in rows)
    packages = versions(("ray", "optuna", "mlflow", "psycopg"))
    return f"`{command}`; {today()}; {hardware()}; {packages}.\n\n| what | came |\n|---|---|\n{lines}\n"


def main() -> int:
    """Run the soak; raises ProofError where the records differ in the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-page", action="store_true", help="print the result only, leave docs/reliability.md alone")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    binaries = postgres_binaries()
    if binaries is None:
        parser.error("expected PostgreSQL (initdb, pg_ctl); install it: apt-get install postgresql")
    started = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="contourney-soak-"))
    postgres = Postgres(binaries)
    mlflow = mlflow_server(root / "mlflow", postgres.database("mlflow"))
    try:
        storage = postgres.database("optuna")
        mlflow.start()
        done = soak(root, arguments.trials, arguments.kills, arguments.seed, postgres, storage, mlflow)
        records = read_records(root / "w", NAME, storage, mlflow.url)
        # Raises where a trial is lost or repeated, an epoch is twice or missing, or the records differ.
        counts = check_study(records, arguments.trials, EPOCHS, least_pruned=0)
    finally:
        mlflow.close()
        postgres.close()
    print(json.dumps(counts))
    command = f"python -m benchmarks.soak --kills {arguments.kills} --trials {arguments.trials}"
    text = table(done, arguments.trials, time.monotonic() - started, command)
    print(text)
    if not arguments.no_page:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page.split(MARKS[0])[0], page.split(MARKS[1])[1]
        PAGE.write_text(f"{before}{MARKS[0]}\n{text}{MARKS[1]}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
