"""What a study has come to: best trial, counts, time left, as data."""

import math
from collections import Counter
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.records.lease import read_lease, state_words, study_state
from studies.stored import confirm_names, confirm_study, counts, is_used, load_settings, open_study, study_names
from studies.workspace import Workspace


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The COMPLETE trial with the highest value, the first of equals; None where there is none."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return min(complete, key=lambda trial: (-value_of(trial), trial.number), default=None)


def study_status(name: str, workspace: Workspace) -> dict[str, Any]:
    """Counts by state, best trial, budget and an estimate of the time left (seconds; None where unknown).

    `confirmatory` has the runs outside of the search by role and state; a study may have them alone.
    """
    confirm = confirm_study(name, workspace)
    if confirm is not None and not is_used(name, workspace):
        return _status_of_rows(name, confirm, workspace)
    study = open_study(name, workspace)
    settings = load_settings(name, workspace)
    trials = study.get_trials(deepcopy=False)
    ended = [trial for trial in trials if trial.state.is_finished()]
    driver_s = float(study.user_attrs.get("driver_s", 0.0))
    left = None if settings.search.trials is None else max(0, settings.search.trials - len(ended))
    lease = read_lease(workspace.storage, name)
    state = study_state(counts(study), settings.search.trials, lease)
    return {
        "name": name,
        "state": state,
        "state_words": state_words(name, state, lease),
        "metric": study.user_attrs["metric"],
        "counts": dict(counts(study)),
        "budget": {"trials": settings.search.trials, "hours": settings.search.hours},
        "driver_s": driver_s,
        "left_s": None if left is None or not ended or not driver_s else driver_s / len(ended) * left,
        "best": _describe(best_trial(study)),
        "running": [_describe(trial) for trial in trials if trial.state is TrialState.RUNNING],
        "errors": {trial.number: trial.user_attrs["error"] for trial in trials if "error" in trial.user_attrs},
        # Of the sampler or the pruner, which ended the last driver.
        "error": study.user_attrs.get("error"),
        "confirmatory": {} if confirm is None else _by_role(confirm),
        "storage": workspace.storage_shown,
        "folder": str(workspace.study_folder(name)),
    }


def all_status(workspace: Workspace) -> list[dict[str, Any]]:
    """The status of every study that contourney launched in this storage, or ran rows of."""
    names = {name for name in study_names(workspace) if "study" in open_study(name, workspace).user_attrs}
    return [study_status(name, workspace) for name in sorted(names.union(confirm_names(workspace)))]


def _status_of_rows(name: str, confirm: optuna.Study, workspace: Workspace) -> dict[str, Any]:
    """The status of a study without a search: as of one that has no trials."""
    trials = confirm.get_trials(deepcopy=False)
    lease = read_lease(workspace.storage, confirm.study_name)
    state = study_state(counts(confirm), sum(trial.state.is_finished() for trial in trials), lease)
    return {
        "name": name,
        "state": state,
        # The same command goes on with rows.
        "state_words": f"running: {lease.holder}" if state == "running" else state,
        "metric": confirm.user_attrs.get("metric", ""),
        "counts": dict.fromkeys(counts(confirm), 0),
        "budget": {"trials": None, "hours": None},
        "driver_s": float(confirm.user_attrs.get("driver_s", 0.0)),
        "left_s": None,
        "best": None,
        "running": [],
        "errors": {trial.number: trial.user_attrs["error"] for trial in trials if "error" in trial.user_attrs},
        "confirmatory": _by_role(confirm),
        "storage": workspace.storage_shown,
        "folder": str(workspace.study_folder(confirm.study_name)),
    }


def _by_role(confirm: optuna.Study) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for trial in confirm.get_trials(deepcopy=False):
        found.setdefault(trial.user_attrs["role"], Counter())[trial.state.name] += 1
    return {role: dict(states) for role, states in found.items()}


def _describe(trial: FrozenTrial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {
        "trial": trial.number,
        "value": trial.value if trial.value is not None and math.isfinite(trial.value) else None,
        "epoch": trial.last_step,
        "best_epoch": trial.user_attrs.get("best_epoch"),
        "params": trial.params,
        "mlflow_run_id": trial.user_attrs.get("mlflow_run_id"),
    }


def value_of(trial: FrozenTrial) -> float:
    """The value of a COMPLETE trial."""
    assert trial.value is not None
    return trial.value
