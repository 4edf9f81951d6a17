"""Small promotions that several test modules look at."""

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from studies.promotion.promote import promote
from studies.workspace import Workspace
from tests.studies.prepared import copied
from tests.studies.promotion.dying import POINTS
from tests.studies.promotion.trained import NAME, WIDE, make
from tests.studies.running import ROOT, environment, ready


@pytest.fixture(autouse=True)
def _undisturbed() -> Iterator[None]:
    with at_home():
        yield


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A trial and two rows that were trained and not promoted; copy it."""
    with at_home():
        place = Workspace.open(ready(tmp_path_factory.mktemp("few") / "w"))
        make(place)
    return place


@pytest.fixture(scope="session")
def together(few: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[dict[str, Any]]]:
    """A workspace in which both rows were promoted in one opening, which was killed at every point; their records."""
    with at_home():
        place = copied(few.root, tmp_path_factory.mktemp("together") / "w")
        asked = [sys.executable, "-m", "tests.studies.promotion.dying", str(place.root), NAME, "plain", WIDE]
        done = subprocess.run(
            asked, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120, check=True
        )
        assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(POINTS, -9), done.stderr
        with warnings.catch_warnings():
            # MLflow misses type hints; the command line shows no warnings.
            warnings.simplefilter("ignore", UserWarning)
            return place, promote(NAME, place, rows=("plain", WIDE))


@contextmanager
def at_home() -> Iterator[None]:
    """Without an environment that would lead a study elsewhere."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
            patched.delenv(name, raising=False)
        yield
