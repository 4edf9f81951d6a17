"""Places, resources and what workers may see."""

import os
from pathlib import Path

import pytest

from search.storage import StorageError
from studies.files.study_settings import ResourceSettings
from studies.running.resources import ResourceError, plan
from studies.workspace import Workspace, without_driver_variables


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def test_the_embedded_default(tmp_path: Path) -> None:
    place = Workspace.open(tmp_path)
    assert place.storage == str(tmp_path / "optuna.journal")
    assert place.tracking == f"sqlite:///{tmp_path}/mlflow.db"
    assert place.artifacts == (tmp_path / "artifacts").as_uri()


def test_the_ecosystems_variables_lead_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", "postgresql://me:secret@host/optuna")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    place = Workspace.open(tmp_path)
    assert place.storage_shown == "postgresql://me:***@host/optuna"
    assert place.artifacts is None


@pytest.mark.parametrize(
    ("storage", "tracking"),
    [
        ("postgresql://a:b@host/db", "postgresql+psycopg2://c@host:5432/db?sslmode=require"),
        ("sqlite:////x/one.db", "sqlite:////x/one.db"),
    ],
)
def test_two_spellings_of_one_database_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, tracking: str
) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", storage)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    with pytest.raises(StorageError, match="name one database"):
        Workspace.open(tmp_path)


def test_two_databases_of_one_server_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", "postgresql://a:b@host/optuna")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://a:b@host/mlflow")
    Workspace.open(tmp_path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "<script>alert(1)</script>", "ä/ö", "a" * 200, "🗺️", "."])
def test_any_name_has_a_folder_of_its_own_inside_the_workspace(tmp_path: Path, name: str) -> None:
    folder = Workspace.open(tmp_path).study_folder(name)
    assert folder.parent == tmp_path / "studies"
    assert folder.name.isascii()
    assert len(folder.name) < 60
    assert folder != Workspace.open(tmp_path).study_folder(name + "x")


def test_variables_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", "x")
    with without_driver_variables():
        assert "OPTUNA_STORAGE" not in os.environ
    assert os.environ["OPTUNA_STORAGE"] == "x"


@pytest.mark.parametrize(
    ("settings", "has", "per_trial", "workers"),
    [
        ({}, {"CPU": 2}, {"cpu": 1.0}, 2),
        ({"workers": 8}, {"CPU": 2}, {"cpu": 1.0}, 2),
        ({"cpu": 2.0}, {"CPU": 8, "GPU": 2}, {"cpu": 2.0, "gpu": 1.0}, 2),
        ({"workers": 4}, {"CPU": 8, "GPU": 2}, {"cpu": 1.0, "gpu": 0.5}, 4),
        ({"workers": 3}, {"CPU": 8, "GPU": 2}, {"cpu": 1.0, "gpu": 0.5}, 3),
        ({"gpu": 0.25}, {"CPU": 16, "GPU": 2}, {"cpu": 1.0, "gpu": 0.25}, 8),
        ({"gpu": 0.0}, {"CPU": 4, "GPU": 2}, {"cpu": 1.0}, 4),
    ],
)
def test_slots(settings: dict[str, float], has: dict[str, float], per_trial: dict[str, float], workers: int) -> None:
    slots = plan(ResourceSettings(**settings), [has])  # type: ignore[arg-type]
    assert (slots.per_trial, slots.workers) == (per_trial, workers)


@pytest.mark.parametrize(
    ("settings", "words"), [({"gpu": 1.0}, "asks for 1 GPU, this Ray has 0"), ({"cpu": 4.0}, "4 CPU")]
)
def test_more_than_there_is_is_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ResourceError, match=words):
        plan(ResourceSettings(**settings), [{"CPU": 2}])  # type: ignore[arg-type]
