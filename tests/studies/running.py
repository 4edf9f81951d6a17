"""The real command line in processes of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "studies.cli", *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would lead a study elsewhere."""
    kept = {k: v for k, v in os.environ.items() if k not in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def contourney(*arguments: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=300, check=False
    )


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
