"""The one evaluation of a candidate on the test split, through the vault; then its model is registered."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from search.records.study import read_study
from studies.promotion.candidates import Candidate
from studies.promotion.model_card import FILE as CARD
from studies.promotion.model_card import model_card
from studies.promotion.registration import register, registered_name
from studies.promotion.replicates import digest_of
from studies.promotion.spread import intervals_of_test
from studies.promotion.vault import TestVault
from studies.running.facts import check_same_data, gather_facts, metric_name
from studies.running.places import fetch_records, trial_place
from studies.stored import StudyError
from studies.upkeep.retention import no_weights
from studies.workspace import Workspace
from trainables.checkpoint import read_checkpoint
from trainables.class_names import label_ids
from trainables.data.dataset import prepare
from trainables.data.split_data import SplitData
from trainables.data.splits import Split
from trainables.evaluate import Evaluation, evaluate_checkpoint
from trainables.metrics import iou_K, pixel_accuracy
from trainables.pictures import shown_indices
from trainables.settings import TrialSettings
from trainables.trial_folder import TrialFolder

# The recorded validation mIoU and the one computed again before the vault is opened: other devices round otherwise,
# other weights or data are further away.
RECOMPUTED_WITHIN = 1e-3


def evaluate_once(name: str, chosen: Candidate, workspace: Workspace, again: str | None) -> dict[str, Any]:
    """Evaluate a candidate on the test split and register its model; returns the record that is kept.

    The lease of the study that keeps the record must be held. Everything that can be refused is refused before the
    test split is opened; raises ValueError then.
    """
    study, number = chosen.study, chosen.trial.number
    place = trial_place(study, number, workspace)
    folder = place.fetch()
    if not (folder / "best.pt").is_file():
        raise no_weights(study, number, folder / "best.pt")
    weights = digest_of(folder / "best.pt")
    earlier = chosen.keeper.user_attrs.get(chosen.record)
    if earlier is not None and earlier["weights"] == weights and "mlflow_run_id" not in earlier:
        # The evaluation is done and recorded; only MLflow did not get it.
        return _register(name, chosen, workspace, folder, earlier)
    check_same_data(name, chosen.facts, gather_facts(chosen.settings, workspace))
    trial_settings = _trial_settings(folder)
    seen = prepare(trial_settings.data, Split.VALIDATION, workspace.cache)
    validation = evaluate_checkpoint(folder / "best.pt", trial_settings, seen)
    _check_recomputed(chosen.trial, validation)
    # A cheaper evaluation size serves the search alone: the test masks are at their own.
    test = prepare(trial_settings.data.model_copy(update={"eval_size": None}), Split.TEST, workspace.cache)
    vault = TestVault(workspace.storage, test.fingerprint)
    if earlier is not None and earlier["fingerprint"] == test.fingerprint:
        vault.check_head(earlier["head"])
    opening = vault.open({"study": study.study_name, "trial": number, "weights": weights}, again=again)
    shown = shown_indices(test, chosen.settings.promotion.pictures)
    found = evaluate_checkpoint(folder / "best.pt", trial_settings, test, pictures=shown)
    TrialFolder(folder).save_pictures(found.pictures, "test_pictures.npz")
    np.savez_compressed(folder / "test_per_image_confusion.npz", counts_NKK=found.per_image_counts_NKK)
    place.push(path.name for path in folder.glob("test_*.npz"))
    excluded = label_ids(trial_settings.metric.exclude, test.class_names, "metric.exclude")
    figures = _figures(found, test) | intervals_of_test(found.per_image_counts_NKK, test, excluded)
    on_validation = _figures(validation, seen)
    head = vault.record(opening, {"miou": figures["miou"], "pixel_accuracy": figures["pixel_accuracy"]})
    record = {
        "study": name if "run" in chosen.more else study.study_name,
        "trial": number,
        **chosen.more,
        "epoch": chosen.trial.user_attrs["best_epoch"],
        "metric": metric_name(chosen.settings).removeprefix("validation "),
        "opening": opening.number,
        "again": again,
        "when_s": time.time(),
        "fingerprint": test.fingerprint,
        "weights": weights,
        "head": head,
        "test": figures,
        "validation": on_validation,
        "gap": figures["miou"] - on_validation["miou"],
    }
    chosen.keeper.set_user_attr(chosen.record, record)
    return _register(name, chosen, workspace, folder, record)


def _trial_settings(folder: Path) -> TrialSettings:
    content = read_checkpoint(folder / "best.pt", "settings")
    return TrialSettings.model_validate_json(content["settings"])


def _check_recomputed(chosen: FrozenTrial, validation: Evaluation) -> None:
    recorded = chosen.intermediate_values[chosen.user_attrs["best_epoch"]]
    if not math.isclose(recorded, validation.miou, abs_tol=RECOMPUTED_WITHIN):
        raise StudyError(
            f"trial {chosen.number}'s weights give validation mIoU {validation.miou:.6f}, recorded is {recorded:.6f}: "
            "weights, data or code are not those of the search; the test split was not opened"
        )


def _figures(found: Evaluation, data: SplitData) -> dict[str, Any]:
    ious = iou_K(found.counts_KK).tolist()
    return {
        "images": len(data.names),
        "miou": found.miou,
        "pixel_accuracy": pixel_accuracy(found.counts_KK),
        "ce": found.ce,
        "iou": {name: None if math.isnan(iou) else iou for name, iou in zip(data.class_names, ious, strict=True)},
        "confusion": found.counts_KK.tolist(),
    }


def _register(
    name: str, chosen: Candidate, workspace: Workspace, folder: Path, record: dict[str, Any]
) -> dict[str, Any]:
    card = _card(chosen, workspace, folder, record)
    (folder / CARD).write_text(card, encoding="utf-8")
    trial_place(chosen.study, chosen.trial.number, workspace).push([CARD])
    record = {**record, **register(workspace, name, chosen.model, folder, record, card)}
    chosen.keeper.set_user_attr(chosen.record, record)
    return record


def _card(chosen: Candidate, workspace: Workspace, folder: Path, record: dict[str, Any]) -> str:
    fetch_records(chosen.keeper, workspace)
    kept = read_study(workspace.storage, chosen.keeper.study_name, workspace.root)
    facts = {**kept.facts, **chosen.facts, "promotion": record}
    study = replace(kept, settings=chosen.settings.resolved(), facts=facts)
    return model_card(study, _trial_settings(folder), registered_name(chosen.model))
