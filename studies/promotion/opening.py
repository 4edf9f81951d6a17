"""The one evaluation of candidates on the test split, through the vault; then their models are registered."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.records.study import read_study
from studies.promotion.candidates import Candidate
from studies.promotion.evaluating import PICTURES, Ready, Weighed, evaluate, make_ready, settings_of, weigh
from studies.promotion.model_card import FILE as CARD
from studies.promotion.model_card import model_card
from studies.promotion.registration import register, registered_name
from studies.promotion.vault import Opening, TestVault, called
from studies.running.facts import metric_name
from studies.running.places import fetch_records, trial_place
from studies.running.provenance import versions
from studies.stored import StudyError
from studies.workspace import Workspace


def evaluate_once(
    name: str, candidates: Sequence[Candidate], workspace: Workspace, again: str | None
) -> list[dict[str, Any]]:
    """Evaluate candidates in one opening of the test split and register their models; returns the records kept.

    The leases of the studies that keep the records must be held. Everything that can be refused is refused before the
    test split is opened; raises ValueError then. An opening that was broken off goes on where it was.
    """
    weighed = [weigh(candidate, workspace) for candidate in candidates]
    kept = [one.kept for one in weighed if one.kept is not None]
    lacking = any("mlflow_run_id" not in record for record in kept)
    # With the evaluation done and recorded only MLflow did not get it.
    records = kept if lacking and _opening_of(weighed) is not None else _open(name, weighed, workspace, again)
    return [
        record if "mlflow_run_id" in record else _register(name, one, workspace, record)
        for one, record in zip(weighed, records, strict=True)
    ]


def _opening_of(weighed: Sequence[Weighed]) -> tuple[str, int] | None:
    """The test split and the opening in which all of these were evaluated together; None where there is none."""
    found = {(one.kept["fingerprint"], one.kept["opening"]) if one.kept is not None else None for one in weighed}
    return found.pop() if len(found) == 1 else None


def _open(name: str, weighed: Sequence[Weighed], workspace: Workspace, again: str | None) -> list[dict[str, Any]]:
    ready = [make_ready(name, one, workspace) for one in weighed]
    fingerprint = ready[0].test.fingerprint
    if any(one.test.fingerprint != fingerprint for one in ready):
        raise StudyError(
            f"{', '.join(called(one.weighed.subject) for one in ready)} have different test splits: promote one by one"
        )
    vault = TestVault(workspace.storage, fingerprint)
    for one in weighed:
        if one.earlier is not None and one.earlier["fingerprint"] == fingerprint:
            vault.check_head(one.earlier["head"])
    before = _opening_of(weighed)
    kept = before[1] if before is not None and before[0] == fingerprint else None
    opening = vault.open(*(one.subject for one in weighed), again=again, kept=kept)
    return [_evaluated(name, one, ready, opening, vault, workspace) for one in ready]


def _evaluated(
    name: str, ready: Ready, together: Sequence[Ready], opening: Opening, vault: TestVault, workspace: Workspace
) -> dict[str, Any]:
    """The record of a candidate in this opening: evaluated now, unless it was before the opening was broken off."""
    weighed, chosen, fingerprint = ready.weighed, ready.weighed.candidate, ready.test.fingerprint
    known = weighed.kept
    if known is not None and (known["fingerprint"], known["opening"]) == (fingerprint, opening.number):
        return known
    test = evaluate(ready, workspace)
    head = vault.record(opening, weighed.subject, {"miou": test["miou"], "pixel_accuracy": test["pixel_accuracy"]})
    record = {
        "study": name if "run" in chosen.more else chosen.study.study_name,
        "trial": chosen.trial.number,
        **chosen.more,
        "epoch": chosen.epoch,
        "metric": metric_name(chosen.settings).removeprefix("validation "),
        "opening": opening.number,
        "opened_with": [called(other.weighed.subject) for other in together if other is not ready],
        "again": opening.entry["again"],
        "when_s": time.time(),
        "fingerprint": fingerprint,
        "weights": weighed.weights,
        "channels": int(ready.test.images_NHWC.shape[-1]),
        "versions": versions(),
        "head": head,
        "test": test,
        "validation": dict(ready.validation),
        "gap": test["miou"] - ready.validation["miou"],
    }
    chosen.keeper.set_user_attr(chosen.record, record)
    return record


def _register(name: str, weighed: Weighed, workspace: Workspace, record: dict[str, Any]) -> dict[str, Any]:
    chosen, folder = weighed.candidate, weighed.folder
    card = _card(chosen, workspace, folder, record)
    (folder / CARD).write_text(card, encoding="utf-8")
    trial_place(chosen.study, chosen.trial.number, workspace).push([CARD])
    pictures = weighed.shown.fetch([PICTURES]) / PICTURES
    record = {**record, **register(workspace, name, chosen.model, folder, pictures, record, card)}
    chosen.keeper.set_user_attr(chosen.record, record)
    return record


def _card(chosen: Candidate, workspace: Workspace, folder: Path, record: dict[str, Any]) -> str:
    fetch_records(chosen.keeper, workspace)
    kept = read_study(workspace.storage, chosen.keeper.study_name, workspace.root)
    facts = {**kept.facts, **chosen.facts, "promotion": record}
    study = replace(kept, settings=chosen.settings.resolved(), facts=facts)
    return model_card(study, settings_of(folder), registered_name(chosen.model))
