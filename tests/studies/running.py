"""The real command line in processes of its own."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from mlflow import MlflowClient

from tests.studies.forking import ForkedCommands

ROOT = Path(__file__).resolve().parents[2]
BOUND_S = 300.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "studies.cli", *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would lead a study elsewhere."""
    kept = {k: v for k, v in os.environ.items() if k not in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def contourney(*arguments: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a process of its own."""
    seen = environment(**more)
    if any(name.startswith("PYTHON") for name in more):
        # What an interpreter reads as it starts.
        return subprocess.run(
            command(*arguments), cwd=cwd, env=seen, capture_output=True, text=True, timeout=BOUND_S, check=False
        )
    return _forked().run(arguments, cwd, seen, BOUND_S)


@cache
def _forked() -> ForkedCommands:
    commands = ForkedCommands(environment())
    atexit.register(commands.close)
    return commands


def ready(root: Path) -> Path:
    """A new workspace in which MLflow's tables are there already: making them takes seconds of CPU, a copy none."""
    root.mkdir(parents=True)
    shutil.copy(Path(_tables().name) / "mlflow.db", root)
    return root


@cache
def _tables() -> tempfile.TemporaryDirectory[str]:
    """Gone when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="contourney-tables-")
    MlflowClient(f"sqlite:///{folder.name}/mlflow.db").search_experiments()
    return folder
