"""Promotion: the chosen trial's best weights, evaluated once on the test split through the vault, then registered."""

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from search.lease import open_lease
from studies.confirm import PROMOTION, Confirmatory, find_run
from studies.facts import check_same_data, gather_facts, metric_name
from studies.places import trial_place
from studies.registration import register
from studies.results import best_trial
from studies.retention import no_weights
from studies.rows import ROLE, stored_settings
from studies.rows_settings import row_settings
from studies.stored import StudyError, confirm_study, load_settings, open_study
from studies.study_settings import CONFIRM, StudySettings
from studies.vault import TestVault
from studies.workspace import Workspace
from trainables.checkpoint import read_checkpoint
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


@dataclass(frozen=True)
class Candidate:
    """What is promoted: a trial of the search, or the run of a named row with one seed.

    `record` is the attribute of its Optuna study that keeps the record, `settings` and `facts` say which data it must
    still find, `model` is its name in the registry; `row` has a row's name and seed.
    """

    study: optuna.Study
    trial: FrozenTrial
    record: str
    settings: StudySettings
    facts: Mapping[str, Any]
    model: str
    row: Mapping[str, Any] = field(default_factory=dict)


def promote(
    name: str,
    workspace: Workspace,
    *,
    trial: int | None = None,
    row: str | None = None,
    seed: int | None = None,
    again: str | None = None,
) -> dict[str, Any]:
    """Evaluate a trial of study `name` on the test split and register its model.

    It is the best, number `trial`, or the run of the named `row` with `seed` (the row's first if None). Returns the
    record that is kept with the study. Everything that can be refused is refused before the test split is opened;
    raises ValueError then.
    """
    if trial is not None and row is not None:
        raise StudyError("expected --trial or --row, got both; a row is trained apart from the search's trials")
    if seed is not None and row is None:
        raise StudyError("--seed says which run of a row; name the row with --row")
    # Before the lease, which would make a file for a study that is not there.
    settings = load_settings(name, workspace) if row is None else _with_row(name, workspace, row)
    with open_lease(workspace.storage, name if row is None else name + CONFIRM):
        chosen = _trial(settings, workspace, trial) if row is None else _run(settings, workspace, row, seed)
        return _promote(name, chosen, workspace, again)


def _promote(name: str, chosen: Candidate, workspace: Workspace, again: str | None) -> dict[str, Any]:
    study, number = chosen.study, chosen.trial.number
    place = trial_place(study, number, workspace)
    folder = place.fetch()
    weights = _weights_digest(study, folder, number)
    earlier = study.user_attrs.get(chosen.record)
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
    figures = _figures(found, test)
    head = vault.record(opening, {"miou": figures["miou"], "pixel_accuracy": figures["pixel_accuracy"]})
    record = {
        "study": study.study_name,
        "trial": number,
        **chosen.row,
        "epoch": chosen.trial.user_attrs["best_epoch"],
        "metric": metric_name(chosen.settings).removeprefix("validation "),
        "opening": opening.number,
        "again": again,
        "when_s": time.time(),
        "fingerprint": test.fingerprint,
        "weights": weights,
        "head": head,
        "test": figures,
        "validation": _figures(validation, seen),
    }
    study.set_user_attr(chosen.record, record)
    return _register(name, chosen, workspace, folder, record)


def promotion_table(record: Mapping[str, Any]) -> Table:
    """Test figures beside validation's, for a terminal."""
    test, validation = record["test"], record["validation"]
    what = f"row {record['row']}, seed {record['seed']}" if "row" in record else f"trial {record['trial']}"
    table = Table(
        title=f"{record['study']}: {what}, epoch {record['epoch']}; opening {record['opening']} of "
        f"this test split ({test['images']} images)",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in ("", "validation", "test"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row(record["metric"], _four(validation["miou"]), _four(test["miou"]), style="bold")
    table.add_row("pixel accuracy", _four(validation["pixel_accuracy"]), _four(test["pixel_accuracy"]))
    for class_name, value in test["iou"].items():
        table.add_row(f"IoU {class_name}", _four(validation["iou"][class_name]), _four(value))
    return table


def _trial(settings: StudySettings, workspace: Workspace, number: int | None) -> Candidate:
    study = open_study(settings.name, workspace, write=True)
    trial = _choose(study, number)
    return Candidate(study, trial, "promotion", settings, study.user_attrs["facts"], settings.name)


def _with_row(name: str, workspace: Workspace, row: str) -> StudySettings:
    settings = stored_settings(name, workspace)
    if settings is None:
        open_study(name, workspace)
    if settings is None or not settings.rows or confirm_study(name, workspace) is None:
        raise StudyError(f"no row of study {name!r} was run yet; `contourney rows {name}` runs them")
    if row not in settings.rows:
        raise StudyError(f"--row: study {name!r} has no row {row!r}; expected one of: {', '.join(settings.rows)}")
    return settings.model_copy(update={"trial": row_settings(settings.trial, settings.rows[row])})


def _run(settings: StudySettings, workspace: Workspace, row: str, seed: int | None) -> Candidate:
    name, first = settings.name, settings.trial.seed
    study = confirm_study(name, workspace, write=True)
    assert study is not None  # _with_row has seen it
    seed = first if seed is None else seed
    found = find_run(study, Confirmatory(ROLE, row, settings.trial, seed))
    if found is None or found.state is not TrialState.COMPLETE:
        raise StudyError(
            f"row {row!r} of study {name!r} has no complete run with seed {seed}; `contourney rows {name} --seeds S` "
            f"runs seeds {first} to {first} + S - 1"
        )
    key, facts = f"{PROMOTION}{found.number}", found.user_attrs["facts"]
    return Candidate(study, found, key, settings, facts, f"{name}-{row}", {"row": row, "seed": seed})


def _choose(study: optuna.Study, number: int | None) -> FrozenTrial:
    if number is None:
        best = best_trial(study)
        if best is None:
            raise StudyError(
                f"study {study.study_name!r} has no complete trial yet; `contourney resume` goes on with it"
            )
        return best
    trials = study.get_trials(deepcopy=False)
    if not 0 <= number < len(trials):
        raise StudyError(f"study {study.study_name!r} has trials 0 to {len(trials) - 1}, got --trial {number}")
    if trials[number].state not in (TrialState.COMPLETE, TrialState.PRUNED):
        raise StudyError(
            f"trial {number} of study {study.study_name!r} is {trials[number].state.name.lower()}; a complete or "
            "pruned one can be promoted"
        )
    return trials[number]


def _weights_digest(study: optuna.Study, folder: Path, number: int) -> str:
    best = folder / "best.pt"
    if not best.is_file():
        raise no_weights(study, number, best)
    with best.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    record = {**record, **register(workspace, name, chosen.model, folder, record)}
    chosen.study.set_user_attr(chosen.record, record)
    return record


def _four(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
