"""One candidate: all that is checked of it before the test split is opened, and its evaluation there."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dashboards.figures.promoted_pictures import FILE
from studies.promotion.candidates import Candidate
from studies.promotion.replicates import digest_of
from studies.promotion.spread import intervals_of_test
from studies.promotion.worst import image_mious, worst_images
from studies.running.facts import check_same_data, gather_facts
from studies.running.places import trial_place
from studies.running.trial_place import TrialPlace
from studies.stored import StudyError
from studies.upkeep.retention import no_weights
from studies.workspace import Workspace
from trainables.checkpoint import read_checkpoint
from trainables.class_names import label_ids
from trainables.data.dataset import prepare
from trainables.data.split_data import SplitData, only
from trainables.data.splits import Split
from trainables.evaluate import Evaluation, evaluate_checkpoint
from trainables.metrics import iou_K, pixel_accuracy
from trainables.pictures import shown_indices
from trainables.protocol import Pictures
from trainables.settings import TrialSettings
from trainables.trial_folder import TrialFolder

# The recorded validation mIoU and the one computed again before the vault is opened: other devices round otherwise,
# other weights or data are further away.
RECOMPUTED_WITHIN = 1e-3
# Beside the weights, and in the folder of the trial that the record names, where a page finds it.
COUNTS, PICTURES = "test_per_image_confusion.npz", FILE


@dataclass(frozen=True)
class Weighed:
    """A candidate with its folder, fetched, the digest of its weights, and the record that is in its place.

    `shown` is where its pictures are kept: of a run that finished or refitted a trial it is that trial's place.
    """

    candidate: Candidate
    folder: Path
    weights: str
    earlier: dict[str, Any] | None
    shown: TrialPlace

    @property
    def subject(self) -> dict[str, Any]:
        """What the ledger says of it."""
        chosen = self.candidate
        named = {key: chosen.more[key] for key in ("row", "seed") if key in chosen.more}
        return {"study": chosen.study.study_name, "trial": chosen.trial.number, **named, "weights": self.weights}

    @property
    def kept(self) -> dict[str, Any] | None:
        """The earlier record where it is of these weights."""
        return self.earlier if self.earlier is not None and self.earlier["weights"] == self.weights else None


@dataclass(frozen=True)
class Ready:
    """A candidate that may be evaluated: its settings, its figures on validation, and the test split as it sees it."""

    weighed: Weighed
    settings: TrialSettings
    validation: Mapping[str, Any]
    test: SplitData


def weigh(candidate: Candidate, workspace: Workspace) -> Weighed:
    """Fetch a candidate's weights; raises StudyError where they are not there."""
    number = candidate.trial.number
    folder = trial_place(candidate.study, number, workspace).fetch()
    if not (folder / "best.pt").is_file():
        raise no_weights(candidate.study, number, folder / "best.pt")
    earlier = candidate.keeper.user_attrs.get(candidate.record)
    shown = trial_place(candidate.keeper, candidate.more.get("trial", number), workspace)
    return Weighed(candidate, folder, digest_of(folder / "best.pt"), earlier, shown)


def make_ready(name: str, weighed: Weighed, workspace: Workspace) -> Ready:
    """Check that data, weights and code are those of the search; raises ValueError."""
    candidate = weighed.candidate
    check_same_data(name, candidate.facts, gather_facts(candidate.settings, workspace))
    settings = settings_of(weighed.folder)
    seen, validation = _validate(candidate, workspace)
    # A cheaper evaluation size serves the search alone: the test masks are at their own.
    test = prepare(settings.data.model_copy(update={"eval_size": None}), Split.TEST, workspace.cache)
    return Ready(weighed, settings, _figures(validation, seen), test)


def evaluate(ready: Ready, workspace: Workspace) -> dict[str, Any]:
    """Evaluate on the test split, within an opening; keeps matrices and pictures.

    Returns the figures: mIoU and IoU per class with their intervals, the worst images, the confusion matrix.
    """
    weighed, test, settings = ready.weighed, ready.test, ready.settings
    shown = weighed.candidate.settings.promotion
    best = weighed.folder / "best.pt"
    found = evaluate_checkpoint(best, settings, test, pictures=shown_indices(test, shown.pictures))
    excluded = label_ids(settings.metric.exclude, test.class_names, "metric.exclude")
    mious_N = image_mious(found.per_image_counts_NKK, excluded)
    worst = worst_images(mious_N, test.names, shown.worst)
    more = [index for index in worst if test.names[index] not in found.pictures.names]
    pictures = found.pictures
    if more:
        # Which images these are is known now: they are predicted once more.
        again = evaluate_checkpoint(best, settings, only(test, more), pictures=range(len(more)))
        pictures = _joined(pictures, again.pictures)
    weighed.shown.folder.mkdir(parents=True, exist_ok=True)
    TrialFolder(weighed.shown.folder).save_pictures(pictures, PICTURES)
    weighed.shown.push([PICTURES])
    names = np.array(test.names, dtype=np.str_)
    TrialFolder(weighed.folder).save_arrays(COUNTS, {"names": names, "counts_NKK": found.per_image_counts_NKK})
    trial_place(weighed.candidate.study, weighed.candidate.trial.number, workspace).push([COUNTS])
    figures = _figures(found, test) | intervals_of_test(found.per_image_counts_NKK, test, excluded)
    return figures | {"worst": [{"image": test.names[index], "miou": float(mious_N[index])} for index in worst]}


def settings_of(folder: Path) -> TrialSettings:
    """The settings that a folder's weights were trained with."""
    content = read_checkpoint(folder / "best.pt", "settings")
    return TrialSettings.model_validate_json(content["settings"])


def _validate(candidate: Candidate, workspace: Workspace) -> tuple[SplitData, Evaluation]:
    """What was recorded on validation, computed again: of a refit it is that of the run which it repeats."""
    study, trial = candidate.validated
    folder = trial_place(study, trial.number, workspace).fetch(["best.pt"])
    if not (folder / "best.pt").is_file():
        raise no_weights(study, trial.number, folder / "best.pt")
    settings = settings_of(folder)
    seen = prepare(settings.data, Split.VALIDATION, workspace.cache)
    found = evaluate_checkpoint(folder / "best.pt", settings, seen, pictures=())
    recorded = trial.intermediate_values[trial.user_attrs["best_epoch"]]
    if not math.isclose(recorded, found.miou, abs_tol=RECOMPUTED_WITHIN):
        raise StudyError(
            f"trial {trial.number}'s weights give validation mIoU {found.miou:.6f}, recorded is {recorded:.6f}: "
            "weights, data or code are not those of the search; the test split was not opened"
        )
    return seen, found


def _figures(found: Evaluation, data: SplitData) -> dict[str, Any]:
    ious = iou_K(found.counts_KK).tolist()
    return {
        "images": len(data.names),
        "groups": len(set(data.groups)),
        "miou": found.miou,
        "pixel_accuracy": pixel_accuracy(found.counts_KK),
        "ce": found.ce,
        "iou": {name: None if math.isnan(iou) else iou for name, iou in zip(data.class_names, ious, strict=True)},
        "confusion": found.counts_KK.tolist(),
    }


def _joined(first: Pictures, second: Pictures) -> Pictures:
    return Pictures(
        names=first.names + second.names,
        images=first.images + second.images,
        truths=first.truths + second.truths,
        predictions=first.predictions + second.predictions,
    )
