"""The worst and best validation images of each class, predicted with the weights of a study's best trials."""

from pathlib import Path

import numpy as np
import optuna

from dashboards.extremes import COUNTS, MOST_TRIALS, PICTURES, find_extremes
from dashboards.outcomes import ranked
from search.records.study import StudyRecord
from studies.running.places import trial_place
from studies.stored import StudyError, open_study
from studies.upkeep.retention import no_weights
from studies.workspace import Workspace
from trainables.checkpoint import read_checkpoint
from trainables.data.dataset import prepare
from trainables.data.splits import Split
from trainables.evaluate import evaluate_checkpoint
from trainables.settings import TrialSettings
from trainables.trial_folder import TrialFolder


def keep_worst_images(record: StudyRecord, workspace: Workspace) -> list[int]:
    """Write the matrices per validation image of the best trials, and their predictions of the images that the best
    one does worst and best on, class by class, to their folders; returns the trials' numbers, the best first.

    The best trial is evaluated twice, up to two others whose weights are kept once. Raises ValueError where no trial is
    complete, the best one's weights were dropped, or the data are not those of the study.
    """
    study = open_study(record.name, workspace)
    complete = ranked(record)
    if not complete:
        raise StudyError(f"study {record.name!r} has no complete trial yet whose worst images could be found")
    wanted: list[int] | None = None
    done: list[int] = []
    for trial in complete:
        if len(done) == MOST_TRIALS:
            break
        best = trial_place(study, trial.number, workspace).fetch(["best.pt"]) / "best.pt"
        if not best.is_file():
            if wanted is None:
                raise no_weights(study, trial.number, best)
            continue
        wanted = _predict(study, trial.number, best, wanted, workspace)
        done.append(trial.number)
    return done


def _predict(study: optuna.Study, number: int, best: Path, wanted: list[int] | None, workspace: Workspace) -> list[int]:
    """Write a trial's files; the images are its own extremes where none are `wanted`. Returns the images."""
    settings = TrialSettings.model_validate_json(read_checkpoint(best, "settings")["settings"])
    data = prepare(settings.data, Split.VALIDATION, workspace.cache)
    _check_data(study, data.fingerprint)
    if wanted is None:
        counts_NKK = evaluate_checkpoint(best, settings, data, pictures=()).per_image_counts_NKK
        wanted = sorted({one.image for one in find_extremes(counts_NKK)})
    found = evaluate_checkpoint(best, settings, data, pictures=wanted)
    folder = TrialFolder(best.parent)
    folder.save_pictures(found.pictures, PICTURES)
    # The report draws pictures that these point at: they come last.
    names = np.array(data.names, dtype=np.str_)
    folder.save_arrays(COUNTS, {"names": names, "counts_NKK": found.per_image_counts_NKK})
    trial_place(study, number, workspace).push([PICTURES, COUNTS])
    return wanted


def _check_data(study: optuna.Study, fingerprint: str) -> None:
    recorded = study.user_attrs["facts"]["fingerprints"][Split.VALIDATION.value]
    if fingerprint != recorded:
        raise StudyError(
            f"the validation images or masks of study {study.study_name!r} are not those it was launched with "
            f"(fingerprint {fingerprint[:12]}, was {recorded[:12]}); restore them to see its worst images"
        )
