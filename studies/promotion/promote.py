"""Promoting: by replicates of a study's finalists, or a trial or row as it is."""

from typing import Any

from search.lease import open_lease
from studies.files.study_settings import CONFIRM
from studies.promotion.candidates import RECORD, named_trial, row_run, settings_with_row, winning_finalist
from studies.promotion.deciding import decide, find_finalists
from studies.promotion.opening import evaluate_once
from studies.promotion.vault import TestVault
from studies.running.launch import Outcome
from studies.running.watcher import Watcher
from studies.stored import StudyError, load_settings, open_study
from studies.workspace import Workspace


def has_replicates(name: str, workspace: Workspace) -> bool:
    """Whether the study was declared to choose by replicates."""
    return load_settings(name, workspace).promotion.seeds > 0


def promote_winner(
    name: str, workspace: Workspace, address: str | None, watcher: Watcher, *, again: str | None = None
) -> tuple[Outcome, dict[str, Any] | None]:
    """Train the finalists' replicates, choose by their means, evaluate the winner once on the test split, register it.

    Returns how the runs ended and the record that is kept with the study, None while runs are missing: the same call
    goes on. Everything that can be refused is refused before the test split is opened; raises ValueError then.
    """
    settings = load_settings(name, workspace)
    study = open_study(name, workspace)
    finalists = find_finalists(settings, study, workspace)
    earlier = study.user_attrs.get(RECORD)
    if earlier is not None and "mlflow_run_id" in earlier:
        # Before hours of training that would come to nothing.
        TestVault(workspace.storage, earlier["fingerprint"]).check_reason(again)
    outcome, decision = decide(settings, finalists, workspace, address, watcher)
    if decision is None:
        return outcome, None
    with open_lease(workspace.storage, name):
        chosen = winning_finalist(settings, workspace, decision)
        return outcome, evaluate_once(name, chosen, workspace, again)


def promote(
    name: str,
    workspace: Workspace,
    *,
    trial: int | None = None,
    row: str | None = None,
    seed: int | None = None,
    again: str | None = None,
) -> dict[str, Any]:
    """Evaluate a trial of study `name` as it is on the test split and register its model.

    It is the best, number `trial`, or the run of the named `row` with `seed` (the row's first if None). Returns the
    record that is kept with the study. Everything that can be refused is refused before the test split is opened;
    raises ValueError then.
    """
    if trial is not None and row is not None:
        raise StudyError("expected --trial or --row, got both; a row is trained apart from the search's trials")
    if seed is not None and row is None:
        raise StudyError("--seed says which run of a row; name the row with --row")
    # Before the lease, which would make a file for a study that is not there.
    settings = load_settings(name, workspace) if row is None else settings_with_row(name, workspace, row)
    with open_lease(workspace.storage, name if row is None else name + CONFIRM):
        chosen = named_trial(settings, workspace, trial) if row is None else row_run(settings, workspace, row, seed)
        return evaluate_once(name, chosen, workspace, again)
