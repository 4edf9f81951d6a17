"""The named rows of a study: which runs they are, and where a study's rows are found."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from studies.confirmatory.confirm import Confirmatory, run_confirmatory
from studies.files.recipe_files import recipe_names
from studies.files.rows_settings import row_settings
from studies.files.study_file import Options, load_study, parse_study
from studies.files.study_settings import CONFIRM, StudySettings
from studies.files.whole_paths import absolute
from studies.running.launch import Outcome
from studies.running.watcher import Watcher
from studies.stored import StudyError, confirm_study, is_used, load_settings, study_names
from studies.workspace import Workspace

ROLE = "row"
# The attribute of NAME/confirm that holds the settings whose rows were run last.
SETTINGS = "rows"


def find_study(
    file: str, workspace: Workspace, overrides: Sequence[str] = (), options: Options | None = None
) -> StudySettings:
    """The settings of a study file, of a study of the workspace or of a recipe, whichever is there first.

    Raises ValueError where none is, or for overrides that do not fit.
    """
    stored = None if os.path.isfile(file) else stored_settings(file, workspace)
    if stored is not None:
        # Every JSON text is one of YAML.
        return parse_study(json.dumps(stored.resolved()), f"study {file}", file, overrides, options)
    if not os.path.isfile(file) and file not in recipe_names() and Path(file).suffix == "":
        known = ", ".join(map(repr, study_names(workspace))) or "none"
        raise StudyError(
            f"no file, study or recipe {file!r}; studies in {workspace.storage_shown}: {known}; recipes: "
            f"{', '.join(recipe_names())}"
        )
    return load_study(file, overrides, options)


def stored_settings(name: str, workspace: Workspace) -> StudySettings | None:
    """The settings that a study's rows were last run with, else those it was launched with; None for no study."""
    confirm = confirm_study(name, workspace)
    if confirm is not None and SETTINGS in confirm.user_attrs:
        return StudySettings.model_validate_json(json.dumps(confirm.user_attrs[SETTINGS]))
    return load_settings(name, workspace) if is_used(name, workspace) else None


def row_runs(settings: StudySettings, seeds: int) -> list[Confirmatory]:
    """One run of each row and seed (trial.seed and the following); every row gets its first seed before any its second.

    Raises StudyError where there are no rows.
    """
    if not settings.rows:
        raise StudyError(f"study {settings.name!r} has no `rows`; name at least one, such as `rows: {{plain: {{}}}}`")
    first = settings.trial.seed
    rows = {name: row_settings(settings.trial, row) for name, row in settings.rows.items()}
    return [
        Confirmatory(ROLE, name, trial, seed) for seed in range(first, first + seeds) for name, trial in rows.items()
    ]


def run_rows(
    settings: StudySettings,
    seeds: int,
    workspace: Workspace,
    address: str | None,
    watcher: Watcher,
    *,
    accept_leak: bool = False,
) -> Outcome:
    """Train each row with this many seeds; what is there already is not run again. Raises ValueError."""
    settings = absolute(settings)
    runs = row_runs(settings, seeds)
    keep = {SETTINGS: settings.resolved()}
    return run_confirmatory(runs, settings, workspace, address, watcher, keep=keep, accept_leak=accept_leak)


def confirm_name(name: str) -> str:
    """Name of the Optuna study of a study's confirmatory runs."""
    return name + CONFIRM
