"""Checks of a study's promotion against the settings of its trials."""

from collections.abc import Iterator

from studies.files.problems import Problem
from studies.files.study_settings import StudySettings
from trainables.settings import TrialSettings


def check_promotion(study: StudySettings) -> Iterator[Problem]:
    """Problems of what a promotion declares but could not do."""
    trial, promotion = study.trial, study.promotion
    if trial.refit is not None:
        yield Problem(("trial", "refit"), "is set by a promotion alone; write promotion.weights: refit")
    if trial.data.fold is not None:
        yield Problem(("trial", "data", "fold"), "is set by a promotion alone; write promotion.group_folds")
    if promotion.weights == "refit":
        yield from (Problem(("promotion", "weights"), f"{why}; expected search") for why in _no_refit(study))
    if promotion.group_folds is not None:
        yield from (Problem(("promotion", "group_folds"), f"{why}; leave it out") for why in _no_folds(study))


def _no_refit(study: StudySettings) -> Iterator[str]:
    if not study.promotion.seeds:
        yield "a refit has the epochs that replicates needed, and promotion.seeds is 0"
    if _own_entry(study):
        yield f"{study.trial.entry} takes its own data and rates, which a refit would have to change"
    if study.trial.augment.oversample.leaky:
        yield "with augment.oversample.leaky training has validation images already"


def _no_folds(study: StudySettings) -> Iterator[str]:
    if not study.promotion.seeds:
        yield "folds are those of replicates, and promotion.seeds is 0"
    if _own_entry(study):
        yield f"{study.trial.entry} takes its own data, which folds would have to change"
    if study.trial.augment.oversample.leaky:
        yield "with augment.oversample.leaky training has images of every fold"
    path = "data.clean.pseudo_labels.file"
    if study.trial.data.clean.pseudo_labels.file is not None or path in study.space:
        yield f"the model behind {path} was trained on images of every fold"


def _own_entry(study: StudySettings) -> bool:
    return bool(study.trial.entry != TrialSettings.model_fields["entry"].default)
