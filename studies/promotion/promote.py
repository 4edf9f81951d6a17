"""Promoting: by replicates of a study's finalists, or a trial or rows as they are."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from search.lease import open_lease
from studies.confirmatory.rows import stored_settings
from studies.files.study_settings import CONFIRM
from studies.promotion.candidates import (
    DECLARED,
    NAMED,
    RECORD,
    Candidate,
    named_trial,
    row_run,
    settings_with_row,
    winning_finalist,
)
from studies.promotion.deciding import decide, find_finalists
from studies.promotion.opening import evaluate_once
from studies.promotion.vault import TestVault
from studies.running.launch import Outcome
from studies.running.watcher import Watcher
from studies.stored import StudyError, is_used, load_settings, open_study
from studies.workspace import Workspace


def has_replicates(name: str, workspace: Workspace) -> bool:
    """Whether the study was searched and declared to choose by replicates."""
    return is_used(name, workspace) and load_settings(name, workspace).promotion.seeds > 0


def promote_winner(
    name: str, workspace: Workspace, address: str | None, watcher: Watcher, *, again: str | None = None
) -> tuple[Outcome, list[dict[str, Any]] | None]:
    """Train the finalists' replicates, choose by their means, evaluate the winner once on the test split, register it.

    The rows of promotion.rows are evaluated in the same opening. Returns how the runs ended and the records that are
    kept, the winner's first; None while runs are missing: the same call goes on. Everything that can be refused is
    refused before the test split is opened; raises ValueError then.
    """
    settings = load_settings(name, workspace)
    study = open_study(name, workspace)
    finalists = find_finalists(settings, study, workspace)
    declared = settings.promotion.rows
    rows = _row_runs(name, workspace, declared)
    records = [study.user_attrs.get(RECORD), *(row.keeper.user_attrs.get(row.record) for row in rows)]
    if all(record is not None and "mlflow_run_id" in record for record in records):
        # Before hours of training that would come to nothing.
        TestVault(workspace.storage, study.user_attrs[RECORD]["fingerprint"]).check_reason(again)
    outcome, decision = decide(settings, finalists, workspace, address, watcher)
    if decision is None:
        return outcome, None
    with _leases(name, workspace, search=True, rows=bool(declared)):
        rows = _row_runs(name, workspace, declared, why=DECLARED)
        chosen = [winning_finalist(settings, workspace, decision), *rows]
        return outcome, evaluate_once(name, chosen, workspace, again)


def promote(
    name: str,
    workspace: Workspace,
    *,
    trial: int | None = None,
    rows: Sequence[str] = (),
    seed: int | None = None,
    again: str | None = None,
) -> list[dict[str, Any]]:
    """Evaluate a trial of study `name`, or named rows, as they are on the test split and register their models.

    It is trial number `trial`, or the runs of `rows` with `seed` (the first if None), all in one opening; without
    either the best trial and the rows of promotion.rows. Returns the records that are kept with the study. Everything
    that can be refused is refused before the test split is opened; raises ValueError then.
    """
    if trial is not None and rows:
        raise StudyError("expected --trial or --row, got both; a row is trained apart from the search's trials")
    if seed is not None and not rows:
        raise StudyError("--seed says which run of a row; name the row with --row")
    searched, why = not rows, NAMED
    if searched and trial is None:
        (searched, rows), why = _declared(name, workspace), DECLARED
    # Before the leases, which would make files for a study that is not there.
    settings = load_settings(name, workspace) if searched else None
    _row_runs(name, workspace, rows, seed)
    with _leases(name, workspace, search=searched, rows=bool(rows)):
        best = [] if settings is None else [named_trial(settings, workspace, trial)]
        chosen = [*best, *_row_runs(name, workspace, rows, seed, why=why)]
        return evaluate_once(name, chosen, workspace, again)


def _declared(name: str, workspace: Workspace) -> tuple[bool, Sequence[str]]:
    """Whether a trial of the search is promoted, and the rows of promotion.rows."""
    settings = None if is_used(name, workspace) else stored_settings(name, workspace)
    if settings is not None and settings.promotion.rows:
        return False, settings.promotion.rows
    return True, load_settings(name, workspace).promotion.rows


def _row_runs(
    name: str, workspace: Workspace, rows: Sequence[str], seed: int | None = None, *, why: str = NAMED
) -> list[Candidate]:
    """The runs of rows, each once, and in their records why they are promoted."""
    found = [row_run(settings_with_row(name, workspace, row), workspace, row, seed) for row in dict.fromkeys(rows)]
    return [replace(one, more={**one.more, "chosen_by": why}) for one in found]


@contextmanager
def _leases(name: str, workspace: Workspace, *, search: bool, rows: bool) -> Iterator[None]:
    """The leases of the studies that keep the records."""
    with ExitStack() as held:
        for asked, study in ((search, name), (rows, name + CONFIRM)):
            if asked:
                held.enter_context(open_lease(workspace.storage, study))
        yield
