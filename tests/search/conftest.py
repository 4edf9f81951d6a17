"""Fixtures of the search's tests."""

from pathlib import Path

import optuna
import pytest

from search.storage import open_storage


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The path of a new journal."""
    return tmp_path / "optuna.journal"


@pytest.fixture
def study(journal: Path) -> optuna.Study:
    """A new study in a real journal."""
    return optuna.create_study(study_name="s", storage=open_storage(str(journal), write=True), direction="maximize")
