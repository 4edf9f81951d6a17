"""What an archive holds, as it is written here: checked, under the study's name here, in this workspace."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from search.copying import StudyContent
from search.states import Reason
from search.study_json import ContentError, content_of
from studies.confirmatory.confirm import PROMOTION
from studies.files.study_settings import CONFIRM, StudySettings
from studies.promotion.vault import RESTORED, changed_at
from studies.running.places import STORAGE
from studies.upkeep.archive_file import CONFIRMED, LEDGER_FILE, SEARCH, ArchiveError
from studies.upkeep.archive_reader import Archive
from studies.workspace import Workspace

# What another MLflow server calls things; promotion writes it again, and `reconcile` finds runs by their tags.
OF_MLFLOW = ("mlflow_run_id", "model", "model_version")
# What everything that reads a study relies on: attributes of a search, and of each confirmatory run.
OF_SEARCH = frozenset({"study", "metric", "facts"})
OF_RUN = frozenset({"role", "key", "seed", "settings"})


class _Entry(BaseModel):
    """An entry of the test ledger, as far as it is relied on."""

    model_config = ConfigDict(extra="allow", strict=True)

    index: int
    kind: str
    opening: int
    fingerprint: str
    when_s: float
    previous: str
    hash: str
    subject: dict[str, Any] = {}
    subjects: list[dict[str, Any]] = []


_LEDGERS = TypeAdapter(dict[str, list[_Entry]])


def archived_studies(archive: Archive, path: Path, name: str, workspace: Workspace) -> dict[str, StudyContent]:
    """The archived studies by the names that they get."""
    found: dict[str, StudyContent] = {}
    for document, suffix, settings in ((SEARCH, "", "study"), (CONFIRMED, CONFIRM, "rows")):
        data = archive.document(document)
        if data is None:
            continue
        try:
            content = content_of(data)
        except ContentError as error:
            raise ArchiveError(f"{path}, {document}: no study: {error}") from error
        attributes = content.user_attrs
        if not _is_ours(content, document):
            raise ArchiveError(f"{path}, {document}: no study that contourney launched")
        made_by = archive.manifest.versions.get("contourney", "another version")
        changed = {
            # Another storage of trial folders was of the place that the study comes from.
            STORAGE: None,
            RESTORED: {"study": archive.manifest.study + suffix, "archive": archive.digest},
            **{key: _without_mlflow(value) for key, value in attributes.items() if _is_promotion(key)},
        }
        if settings in attributes:
            changed[settings] = _settings(attributes[settings], name, f"{path}, {document}, of contourney {made_by}")
        trials = [_trial(trial, name + suffix, workspace) for trial in content.trials]
        found[name + suffix] = StudyContent(content.directions, {**attributes, **changed}, content.system_attrs, trials)
    if not found:
        raise ArchiveError(f"{path} holds no study")
    return found


def _settings(stored: Any, name: str, where: str) -> dict[str, Any]:
    """Stored settings under the study's name, their trial folders in the workspace; raises ArchiveError."""
    try:
        settings = {**stored, "name": name, "resources": {**stored["resources"], "storage": None}}
        StudySettings.model_validate_json(json.dumps(settings))
    except (ValidationError, TypeError, KeyError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ArchiveError(f"{where}: no settings of this version: {first}") from error
    return settings


def _trial(trial: FrozenTrial, study_name: str, workspace: Workspace) -> FrozenTrial:
    """A trial as it is here: its folder is, its run in MLflow is not yet, and no driver runs it."""
    again = copy.copy(trial)
    attributes = {key: value for key, value in trial.user_attrs.items() if key not in OF_MLFLOW}
    if "folder" in attributes:
        folder = workspace.trial_folder(study_name, trial.number)
        attributes["folder"] = str(folder.relative_to(workspace.root))
    if trial.state is TrialState.RUNNING:
        again.state = TrialState.WAITING
        attributes["reason"] = Reason.INTERRUPTED
    again.user_attrs = attributes
    return again


def _is_ours(content: StudyContent, document: str) -> bool:
    if document == CONFIRMED:
        return all(trial.user_attrs.keys() >= OF_RUN for trial in content.trials)
    facts = content.user_attrs.get("facts")
    return content.user_attrs.keys() >= OF_SEARCH and isinstance(facts, Mapping) and "fingerprints" in facts


def _is_promotion(key: str) -> bool:
    return key == "promotion" or key.startswith(PROMOTION)


def _without_mlflow(record: Any) -> Any:
    if not isinstance(record, Mapping):
        return record
    return {key: value for key, value in record.items() if key not in OF_MLFLOW}


def archived_ledgers(archive: Archive, path: Path) -> dict[str, list[dict[str, Any]]]:
    """The archived entries by test fingerprint, each chain whole; raises ArchiveError."""
    ledgers = archive.document(LEDGER_FILE) or {}
    try:
        _LEDGERS.validate_python(ledgers)
    except ValidationError as error:
        raise ArchiveError(f"{path}, {LEDGER_FILE}: no ledger: {error.errors()[0]['msg']}") from error
    for fingerprint, entries in ledgers.items():
        whole = changed_at(entries) is None and all(entry["fingerprint"] == fingerprint for entry in entries)
        if not fingerprint.isalnum() or not whole:
            raise ArchiveError(f"{path}, {LEDGER_FILE}: the ledger of a test split was changed")
    return dict(ledgers)
