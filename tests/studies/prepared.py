"""A study that was run without Ray and is copied for each test: journal, trial folders, MLflow, all real."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from studies.files.study_file import parse_study
from studies.files.study_settings import StudySettings
from studies.workspace import Workspace
from tests.studies.rayless import drive
from tests.studies.running import ready

NAME, EPOCHS = "prepared", 3
FILE = f"""
name: {NAME}
trial:
  entry: tests.studies.scripted:Graded
  epochs: {EPOCHS}
  data: {{format: terrain, terrain: {{images: 12}}}}
space:
  optimizer.lr: {{low: 1e-4, high: 1e-2, log: true}}
  optimizer.name: {{choices: [adamw, sgd]}}
  optimizer.momentum: {{low: 0.5, high: 0.9, when: {{optimizer.name: sgd}}}}
search: {{trials: %d, pruner: {{name: none}}}}
"""


def settings(trials: int = 4, **more: object) -> StudySettings:
    """The study's settings, with other overrides."""
    return parse_study(FILE % trials, "study.yaml", NAME, [f"{key}={value}" for key, value in more.items()], {})


def make(root: Path, trials: int = 4) -> Path:
    """Run the study in a new workspace."""
    drive(ready(root), FILE % trials)
    return root


def copied(source: Path, target: Path) -> Workspace:
    """A workspace that holds what another does."""
    shutil.copytree(source, target)
    return Workspace.open(target)


def contents(folder: Path) -> Mapping[str, bytes]:
    """Every file below a folder, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
