"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data and weights: CONTOURNEY_SHARED, else ../shared beside the repository."""
    root = Path(os.environ.get("CONTOURNEY_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(
            f"real data not found: set CONTOURNEY_SHARED to a folder with data/ and weights/ (looked in {root})"
        )
    return root
