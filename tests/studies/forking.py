"""The command line in a process of its own without its seconds of imports: forked from one that has them done.

`python -m tests.studies.forking` forks a command for each line of its standard input.
"""

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.cli import app

ROOT = Path(__file__).resolve().parents[2]
# What commands import late, each anew.
LATE = (
    "dashboards.report", "mlflow.store.tracking.sqlalchemy_store", "ray.tune", "studies.promotion.promote",
    "studies.running.launch", "tests.studies.scripted", "trainables.check",
)  # fmt: skip


class ForkedCommands:
    """Runs commands one after another; safe for one thread."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.studies.forking"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; one that takes too long is killed."""
        with tempfile.TemporaryDirectory() as scratch:
            out, err = Path(scratch, "out"), Path(scratch, "err")
            wanted = {"arguments": arguments, "cwd": str(cwd), "environment": environment, "out": str(out)}
            assert self._server.stdin is not None
            print(json.dumps({**wanted, "err": str(err)}), file=self._server.stdin, flush=True)
            late = threading.Timer(timeout_s, os.kill, (self._answer(), signal.SIGKILL))
            late.start()
            code = self._answer()
            late.cancel()
            late.join()
            return subprocess.CompletedProcess(list(arguments), code, out.read_text(), err.read_text())

    def close(self) -> None:
        """End the process that forks."""
        self._server.communicate(timeout=180)

    def _answer(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


def serve() -> None:
    """Answer each line with the number of the process that runs it, then with its exit code."""
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = _command(json.loads(line))
            # An interpreter's end, without the seconds in which it would take down all that was imported.
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            os._exit(code)
        print(child, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


def _command(wanted: Mapping[str, Any]) -> int:
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    for path, descriptor in ((os.devnull, 0), (wanted["out"], 1), (wanted["err"], 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    # As `python -m studies.cli` has them.
    sys.argv = [str(Path(app.__file__).with_name("__main__.py")), *wanted["arguments"]]
    sys.path[0] = wanted["cwd"]
    sys.modules["__main__"].__package__ = "studies.cli"
    try:
        app.main()
    except SystemExit as end:
        assert end.code is None or isinstance(end.code, int)
        return end.code or 0
    except BaseException:  # noqa: BLE001 - the edge of a process
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    for late in LATE:
        importlib.import_module(late)
    serve()
