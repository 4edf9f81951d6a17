"""Facts about a study's data, gathered before anything is created: what is compared when it goes on."""

from collections.abc import Mapping
from typing import Any

from studies.stored import StudyError
from studies.study_settings import StudySettings
from studies.workspace import Workspace
from trainables.data.dataset import prepare
from trainables.data.splits import Split

SEARCHED_SPLITS = (Split.TRAIN, Split.VALIDATION)


def gather_facts(settings: StudySettings, workspace: Workspace) -> dict[str, Any]:
    """Check and cache the train and validation splits, and say what they are; the test split is not touched."""
    data = {split: prepare(settings.trial.data, split, workspace.cache) for split in SEARCHED_SPLITS}
    train = data[Split.TRAIN]
    return {
        "metric": metric_name(settings),
        "class_names": list(train.class_names),
        "images": {split.value: len(part.names) for split, part in data.items()},
        "fingerprints": {split.value: part.fingerprint for split, part in data.items()},
        "class_pixels": {split.value: part.pixels_K.tolist() for split, part in data.items()},
        "split": Split.VALIDATION.value,
        "epochs": settings.trial.epochs,
    }


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


def absent_classes(facts: Mapping[str, Any]) -> list[str]:
    """Names of the classes without a valid training pixel."""
    pixels = facts["class_pixels"][Split.TRAIN.value]
    return [name for name, count in zip(facts["class_names"], pixels, strict=True) if count == 0]
