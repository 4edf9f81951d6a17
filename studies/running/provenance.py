"""What a study ran on: versions, machine, git commit and the uncommitted difference."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "contourney", "torch", "timm", "segmentation-models-pytorch", "albumentations", "ray", "optuna", "mlflow", "numpy",
)  # fmt: skip
DIFF_CHARACTERS = 1_000_000


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_state(folder: Path) -> dict[str, str]:
    """`commit` of the repository around `folder` and `diff` of its uncommitted changes; empty outside of one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    diff = _git(folder, "diff", "HEAD") or ""
    return {"commit": commit.strip(), "diff": diff[:DIFF_CHARACTERS]}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
