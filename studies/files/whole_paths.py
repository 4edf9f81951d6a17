"""Settings with whole paths, so that a study goes on from any folder."""

from pathlib import Path
from typing import Any

from search.space import setting
from studies.files.rows_settings import put
from studies.files.study_settings import StudySettings

PATHS = ("data.root", "data.clean.pseudo_labels.file", "model.weights")


def absolute(settings: StudySettings) -> StudySettings:
    """The settings, those of rows included, with whole paths in place of relative ones."""
    fixed = settings.trial.model_dump(mode="json")
    trial = put(settings.trial, {path: _whole(path, setting(fixed, path)) for path in PATHS})
    rows = {
        name: row.model_copy(update={"set": {path: _whole(path, value) for path, value in row.set.items()}})
        for name, row in settings.rows.items()
    }
    return settings.model_copy(update={"trial": trial, "rows": rows})


def _whole(path: str, value: Any) -> Any:
    if path not in PATHS or not isinstance(value, str):
        return value
    # Not every text there is a file: `download` asks timm for the weights.
    if path == "model.weights" and not Path(value).is_file():
        return value
    return str(Path(value).expanduser().absolute())
