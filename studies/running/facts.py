"""Facts about a study's data, gathered before anything is created: what is compared when it goes on."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from studies.files.study_settings import StudySettings
from studies.stored import StudyError
from studies.workspace import Workspace
from trainables.class_names import class_name_findings
from trainables.data.dataset import prepare, split_data
from trainables.data.errors import DataError
from trainables.data.folds import folds_of
from trainables.data.leaks import find_fold_leak, find_leak
from trainables.data.pseudo_labels import read_origin
from trainables.data.split_data import SplitData
from trainables.data.splits import Split

SEARCHED_SPLITS = (Split.TRAIN, Split.VALIDATION)


def gather_facts(settings: StudySettings, workspace: Workspace) -> dict[str, Any]:
    """Check and cache the train and validation splits, and say what they are; the test split is not touched.

    Raises the ValueErrors of data, and StudyError for settings that name what is no class or more folds than groups.
    """
    promotion_folds(settings, workspace)
    data = {split: prepare(settings.trial.data, split, workspace.cache) for split in SEARCHED_SPLITS}
    train = data[Split.TRAIN]
    if findings := list(class_name_findings(settings.trial, train.class_names)):
        raise StudyError("\n".join(f"trial.{finding}" for finding in findings))
    return {
        "metric": metric_name(settings),
        "class_names": list(train.class_names),
        "images": {split.value: len(part.names) for split, part in data.items()},
        "fingerprints": {split.value: part.fingerprint for split, part in data.items()},
        "class_pixels": {split.value: part.pixels_K.tolist() for split, part in data.items()},
        "split": Split.VALIDATION.value,
        "epochs": settings.trial.epochs,
        "pseudo_labels": pseudo_labels_digest(settings),
    }


def promotion_folds(settings: StudySettings, workspace: Workspace) -> np.ndarray | None:
    """The fold of each image of train and of validation after it, where the promotion declares folds.

    Raises StudyError for more folds than groups.
    """
    folds = settings.promotion.group_folds
    if folds is None:
        return None
    groups = [group for part in _whole_splits(settings, workspace) for group in part.groups]
    try:
        return folds_of(groups, folds, settings.trial.data.split_seed)
    except DataError as error:
        raise StudyError(f"promotion.group_folds: {error}; declare fewer, or none") from error


def pseudo_labels_digest(settings: StudySettings) -> str | None:
    """What the fixed pseudo-labels hold; None without any."""
    file = settings.trial.data.clean.pseudo_labels.file
    return None if file is None else read_origin(Path(file).expanduser()).digest


def accepted_leak(settings: StudySettings, workspace: Workspace, accept: bool) -> dict[str, Any] | None:
    """What `facts` keep of training images that are near copies of validation images; None where there are none.

    Compared are the whole splits, before fraction and cleaning, which change from trial to trial. Raises StudyError
    unless such a leak is accepted.
    """
    train, validation = _whole_splits(settings, workspace)
    leak, what = find_leak(train, validation, workspace.cache), "validation images are the same"
    folds_N = promotion_folds(settings, workspace)
    if not leak.images and folds_N is not None:
        leak = find_fold_leak(train, validation, folds_N, workspace.cache)
        what = "images, which each are validated in one of the folds of promotion.group_folds, are the same"
    if not leak.images:
        return None
    if not accept:
        shown = "\n".join(
            f"  {a} (train) and {b} (validation), correlation {like:.3f}" for a, b, like in leak.pairs[:5]
        )
        raise StudyError(
            f"{leak.images} of {leak.of} {what} or nearly the same as training images:\n"
            f"{shown}\n"
            "their mIoU would be too high. Split by sequence or scene (data.split blocks or lists), leave them out "
            "(`contourney audit` prints the list for data.drop), or launch with --accept-leak, which every report tells"
        )
    return asdict(leak)


def _whole_splits(settings: StudySettings, workspace: Workspace) -> tuple[SplitData, SplitData]:
    """Train and validation before fraction and cleaning."""
    train, validation = (split_data(settings.trial.data, split, workspace.cache) for split in SEARCHED_SPLITS)
    return train, validation


def metric_name(settings: StudySettings) -> str:
    """The metric's shown name, with the classes that do not count."""
    metric = settings.trial.metric
    without = [f"without {', '.join(metric.exclude)}"] if metric.exclude else []
    ignored = [f"ignoring {', '.join(metric.ignore_target)}"] if metric.ignore_target else []
    return " ".join(["validation mIoU", *without, *ignored])


def check_same_data(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise StudyError if the train or validation split is not the one the study was launched with."""
    for split, fingerprint in before["fingerprints"].items():
        if now["fingerprints"][split] != fingerprint:
            raise StudyError(
                f"the {split} images or masks of study {name!r} are not those it was launched with (fingerprint "
                f"{now['fingerprints'][split][:12]}, was {fingerprint[:12]}); restore them, or launch a new study"
            )
    if before.get("pseudo_labels") != now["pseudo_labels"]:
        raise StudyError(
            f"the pseudo-labels of study {name!r} (data.clean.pseudo_labels.file) are not those it was launched with; "
            "restore the file, or launch a new study"
        )


def absent_classes(facts: Mapping[str, Any]) -> list[str]:
    """Names of the classes without a valid training pixel."""
    pixels = facts["class_pixels"][Split.TRAIN.value]
    return [name for name, count in zip(facts["class_names"], pixels, strict=True) if count == 0]
