"""Fixtures for all tests."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Postgres, Served, running_mlflow, running_postgres


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data and weights: CONTOURNEY_SHARED, else ../shared beside the repository."""
    root = Path(os.environ.get("CONTOURNEY_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(
            f"real data not found: set CONTOURNEY_SHARED to a folder with data/ and weights/ (looked in {root})"
        )
    return root


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A private PostgreSQL cluster, which every test leaves running; skipped aloud where it is not installed."""
    with running_postgres() as server:
        yield server


@pytest.fixture(autouse=True)
def connections_are_closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """A database connection that a test leaves open fails this test, not whichever runs when it is collected."""
    yield
    if "postgres" in request.fixturenames:
        gc.collect()


@pytest.fixture(scope="session")
def mlflow_server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An MLflow server over a database of that cluster, which every test leaves running."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow"), postgres.database("mlflow")) as server:
        yield server
