"""Relative paths become whole, in the trial's settings and in rows."""

from pathlib import Path

import pytest

from studies.files.study_file import parse_study
from studies.files.whole_paths import absolute

FILE = """
trial: {data: {format: terrain}}
rows:
  kept: {set: {model.width: 4}}
  own: {set: {data.clean.pseudo_labels.file: labels.npz}}
"""


def test_paths_of_the_trial_and_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = parse_study(FILE, "s.yaml", "s", (), {})
    trial = settings.trial
    trial = trial.model_copy(update={"data": trial.data.model_copy(update={"root": "images"})})
    found = absolute(settings.model_copy(update={"trial": trial}))
    assert found.trial.data.root == str(tmp_path / "images")
    assert found.rows["own"].set == {"data.clean.pseudo_labels.file": str(tmp_path / "labels.npz")}
    assert found.rows["kept"] == settings.rows["kept"]
    assert absolute(found) == found


def test_weights_are_a_path_only_where_there_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.safetensors").touch()
    settings = parse_study(FILE, "s.yaml", "s", (), {})
    for weights, whole in (("download", "download"), ("here.safetensors", str(tmp_path / "here.safetensors"))):
        trial = settings.trial
        trial = trial.model_copy(update={"model": trial.model.model_copy(update={"weights": weights})})
        assert absolute(settings.model_copy(update={"trial": trial})).trial.model.weights == whole
