"""The real command line in processes of its own."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.expect import ProofError

ROOT = Path(__file__).resolve().parents[1]
# What would lead a study elsewhere than to its workspace.
ELSEWHERE = ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS")
POLL_S = 1.0
GRACE_S = 300.0


@dataclass(frozen=True)
class Done:
    """A command that ended: how it is typed, exit code, output and errors together, wall time."""

    typed: str
    code: int
    output: str
    wall_s: float
    stdout: str = field(repr=False)

    def must_exit(self, code: int) -> "Done":
        """Itself; raises ProofError for another exit code, with what was said last."""
        if self.code != code:
            last = "\n".join(self.output.strip().splitlines()[-15:])
            raise ProofError(f"{self.typed}: expected exit code {code}, got {self.code}:\n{last}")
        return self


def contourney(*arguments: str, **variables: str) -> Done:
    """Run `python -m studies.cli` to its end."""
    return run_module("studies.cli", *arguments, **variables)


def run_module(module: str, *arguments: str, **variables: str) -> Done:
    """Run a module of this checkout to its end, in the root of the checkout."""
    return _run(module, arguments, variables, lambda: False)


def interrupted(*arguments: str, when: Callable[[], bool]) -> Done:
    """Run `python -m studies.cli` and press Ctrl-C, as a terminal does to the whole process group, once `when` says so.

    A command that ends before that is returned as it ended.
    """
    return _run("studies.cli", arguments, {}, when)


def _run(module: str, arguments: tuple[str, ...], variables: Mapping[str, str], when: Callable[[], bool]) -> Done:
    kept = {key: value for key, value in os.environ.items() if key not in ELSEWHERE}
    started = time.monotonic()
    # Files instead of pipes: daemons that outlive the command would keep a pipe open.
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**kept, "OMP_NUM_THREADS": "1", **variables},
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            while process.poll() is None and not when():
                _wait(process, POLL_S)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                _wait(process, GRACE_S)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        texts = []
        for stream in (stdout, stderr):
            stream.seek(0)
            texts.append(stream.read())
    return Done(
        typed=shlex.join((*_words(module), *arguments)),
        code=process.returncode,
        output="".join(texts),
        wall_s=time.monotonic() - started,
        stdout=texts[0],
    )


def _words(module: str) -> tuple[str, ...]:
    return ("contourney",) if module == "studies.cli" else ("python", "-m", module)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
