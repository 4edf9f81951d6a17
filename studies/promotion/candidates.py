"""What can be promoted: a trial of the search, the winner among its finalists, or the run of a named row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.confirmatory.confirm import PROMOTION, Confirmatory, find_run
from studies.confirmatory.rows import ROLE, stored_settings
from studies.files.rows_settings import row_settings
from studies.files.study_settings import StudySettings
from studies.promotion.deciding import Decision
from studies.promotion.refit import REFIT
from studies.results import best_trial
from studies.stored import StudyError, confirm_study, open_study
from studies.workspace import Workspace

# The attribute of the search that keeps the record of its promotion.
RECORD = "promotion"
# Where the promoted weights of a finalist are from, beside REFIT.
SEARCH = "search"
# How a promoted model was chosen; the first two say nothing of other seeds.
NAMED, BEST, REPLICATES = "named by the user", "best single value of the search", "mean over replicates"
# The same of a row that was to be evaluated whatever the search found.
DECLARED = "listed in promotion.rows"


@dataclass(frozen=True)
class Candidate:
    """What is promoted: a trial of the search, the run that trained one to the end or refitted it, or that of a row.

    `study` has the run, `keeper` the record, under the attribute `record`. `settings` and `facts` say which data it
    must still find, `model` is its name in the registry; `more` is what its record has beside the evaluation.
    `validated` is the run whose weights are measured on validation, with its study: a refit was trained on that.
    """

    study: optuna.Study
    trial: FrozenTrial
    record: str
    settings: StudySettings
    facts: Mapping[str, Any]
    model: str
    keeper: optuna.Study
    more: Mapping[str, Any]
    validated: tuple[optuna.Study, FrozenTrial]

    @property
    def epoch(self) -> int:
        """The epoch whose weights are promoted: a refit's last, of any other run the best."""
        refit = self.more.get("refit")
        return int(self.trial.user_attrs["best_epoch"] if refit is None else refit["epochs"])


def named_trial(settings: StudySettings, workspace: Workspace, number: int | None) -> Candidate:
    """Trial `number` of the search, the best one if None; raises StudyError."""
    study = open_study(settings.name, workspace, write=True)
    trial = _choose(study, number)
    more = {"chosen_by": BEST if number is None else NAMED, "weights_from": SEARCH}
    facts = study.user_attrs["facts"]
    return Candidate(study, trial, RECORD, settings, facts, settings.name, study, more, (study, trial))


def settings_with_row(name: str, workspace: Workspace, row: str) -> StudySettings:
    """The study's settings with those of a named row as its trial; raises StudyError."""
    settings = stored_settings(name, workspace)
    if settings is None:
        open_study(name, workspace)
    if settings is None or not settings.rows or confirm_study(name, workspace) is None:
        raise StudyError(f"no row of study {name!r} was run yet; `contourney rows {name}` runs them")
    if row not in settings.rows:
        raise StudyError(f"study {name!r} has no row {row!r}; expected one of: {', '.join(settings.rows)}")
    return settings.model_copy(update={"trial": row_settings(settings.trial, settings.rows[row])})


def row_run(settings: StudySettings, workspace: Workspace, row: str, seed: int | None) -> Candidate:
    """The run of a named row with `seed`, its first if None; raises StudyError."""
    name, first = settings.name, settings.trial.seed
    study = confirm_study(name, workspace, write=True)
    assert study is not None  # settings_with_row has seen it
    seed = first if seed is None else seed
    found = find_run(study, Confirmatory(ROLE, row, settings.trial, seed))
    if found is None or found.state is not TrialState.COMPLETE:
        raise StudyError(
            f"row {row!r} of study {name!r} has no complete run with seed {seed}; `contourney rows {name} --seeds S` "
            f"runs seeds {first} to {first} + S - 1"
        )
    key, facts = f"{PROMOTION}{found.number}", found.user_attrs["facts"]
    more = {"row": row, "seed": seed, "chosen_by": NAMED}
    return Candidate(study, found, key, settings, facts, f"{name}-{row}", study, more, (study, found))


def winning_finalist(settings: StudySettings, workspace: Workspace, decision: Decision) -> Candidate:
    """The finalist that won: the weights of its search trial, of the run that trained a pruned one to the end, or of
    its refit.
    """
    study = open_study(settings.name, workspace, write=True)
    confirm = confirm_study(settings.name, workspace, write=True)
    assert confirm is not None  # it has the replicates
    winner, refit = decision.winner, decision.refit
    more = {
        "chosen_by": REPLICATES,
        "choice": decision.record,
        "trial": winner.finalist.number,
        "weights_from": SEARCH if refit is None else REFIT,
    }
    validated = (study, winner.finalist.trial) if winner.finished is None else (confirm, winner.finished)
    source, trial = validated
    if refit is not None:
        source, trial = confirm, refit.trial
        more["refit"] = refit.record
    facts = study.user_attrs["facts"]
    if source is confirm:
        more["run"], facts = trial.number, trial.user_attrs["facts"]
    return Candidate(source, trial, RECORD, settings, facts, settings.name, study, more, validated)


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
