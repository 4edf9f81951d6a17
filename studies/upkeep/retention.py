"""What is kept of trials that have ended: rows for ever, weights of the best, optimizer states of none."""

import heapq
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.files.study_settings import CONFIRM, RetentionSettings
from studies.promotion.vault import promoted_trials
from studies.running.places import kept_files, trial_place
from studies.running.trial_place import DELAYS_S, FoundFile, PlaceGone
from studies.stored import StudyError
from studies.workspace import Workspace

# What only a trial that goes on needs, and what it is evaluated by.
STATE, WEIGHTS = "last.pt", "best.pt"


class Retention:
    """Lets go of files of a study's ended trials; only the holder of the study's lease may use it.

    A trial's end is in Optuna by then: a driver that dies before that finds the trial as its worker left it.
    """

    def __init__(self, study: optuna.Study, workspace: Workspace) -> None:
        self._study = study
        self._workspace = workspace
        self._settings = retention_of(study)
        self._gone: set[tuple[int, str]] = set()
        # Ended trials that were looked at; None before the first look, which finds what earlier drivers left.
        self._tidied: int | None = None

    def tidy(self, *, whole: bool = False) -> None:
        """Drop what is not kept any more of trials that ended since the last call; with `whole`, look at all again.

        A place that does not answer is asked again at the next call: no study ends for want of tidiness.
        """
        ended = ended_trials(self._study)
        if len(ended) == self._tidied and not whole:
            return
        with suppress(PlaceGone, OSError):
            if whole or self._tidied is None:
                found = droppable(self._study, self._workspace, delays_s=())
                self._gone = set()
                unkept = {(number, name) for name, files in found.items() for number in files}
            else:
                kept = keepers(self._study, ended, self._settings)
                unkept = {(trial.number, STATE) for trial in ended}
                unkept |= {(trial.number, WEIGHTS) for trial in ended if trial.number not in kept}
            for number, name in sorted(unkept - self._gone):
                trial_place(self._study, number, self._workspace, delays_s=()).delete(name)
                self._gone.add((number, name))
            self._tidied = len(ended)


def droppable(
    study: optuna.Study, workspace: Workspace, delays_s: Sequence[float] = DELAYS_S
) -> dict[str, dict[int, FoundFile]]:
    """Files of ended trials that are not kept, by name and trial: what `Retention` would drop now."""
    ended = ended_trials(study)
    kept = keepers(study, ended, retention_of(study))
    found = kept_files(study, workspace, delays_s)
    files = {trial.number: found.get(trial.number, {}) for trial in ended}
    return {
        STATE: {number: of[STATE] for number, of in files.items() if STATE in of},
        WEIGHTS: {number: of[WEIGHTS] for number, of in files.items() if WEIGHTS in of and number not in kept},
    }


def ended_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that have ended; one that waits to go on has not."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def keepers(study: optuna.Study, ended: Collection[FrozenTrial], settings: RetentionSettings) -> set[int]:
    """Numbers of the trials whose weights are kept: the best, and all that were ever promoted.

    Complete trials come before pruned ones, each by their best epoch; all runs outside of the search are kept.
    """
    if settings.weights == "all" or study.study_name.endswith(CONFIRM):
        return {trial.number for trial in ended}
    best = heapq.nsmallest(settings.weights, (trial for trial in ended if _measured(trial)), key=_rank)
    # The ledger knows promotions that a later one replaced in the study.
    return {trial.number for trial in best} | promoted_trials(study)


def retention_of(study: optuna.Study) -> RetentionSettings:
    """The study's setting; a study of before it was one, and runs outside of a search, have the default."""
    settings: Mapping[str, object] = study.user_attrs.get("study", {}).get("retention", {})
    return RetentionSettings.model_validate(settings)


def no_weights(study: optuna.Study, number: int, place: Path) -> StudyError:
    """The error of a trial without weights at `place`: whether they were dropped, and what can be done."""
    settings, kept = retention_of(study), keepers(study, ended_trials(study), retention_of(study))
    if number in kept:
        return StudyError(f"trial {number} has no weights: expected {place}")
    return StudyError(
        f"the weights of trial {number} were dropped: they are kept for the top {settings.weights} only "
        f"(retention.weights), which are trials {', '.join(map(str, sorted(kept)))}; choose one of these, or train its "
        "settings again as a row"
    )


def _measured(trial: FrozenTrial) -> bool:
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and _best(trial) > -math.inf


def _rank(trial: FrozenTrial) -> tuple[bool, float, int]:
    return trial.state is not TrialState.COMPLETE, -_best(trial), trial.number


def _best(trial: FrozenTrial) -> float:
    if trial.state is TrialState.COMPLETE and trial.value is not None:
        return trial.value
    finite = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
    return max(finite, default=-math.inf)
