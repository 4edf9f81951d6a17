"""From a study's finalists and their replicates to the one that is promoted, and the record of that choice."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from studies.confirmatory.confirm import run_confirmatory
from studies.files.study_settings import StudySettings
from studies.promotion.choice import Choice, compare_finalists
from studies.promotion.refit import Refit, refit_winner
from studies.promotion.replicates import (
    Replicated,
    finalist_settings,
    promotion_runs,
    read_replicated,
    value_in_search,
)
from studies.promotion.resampling import Resampling, plan_resampling
from studies.promotion.settings import SEEDS_OF_A_CLAIM
from studies.promotion.shortlist import Finalist, shortlist
from studies.running.launch import Outcome
from studies.running.places import trial_place
from studies.running.watcher import Watcher
from studies.stored import StudyError, confirm_study, open_study
from studies.upkeep.retention import no_weights
from studies.workspace import Workspace
from trainables.checkpoint import read_checkpoint
from trainables.settings import TrialSettings


@dataclass(frozen=True)
class Decision:
    """The finalist that is promoted, the record of how it was chosen, and its refit if one was declared."""

    winner: Replicated
    record: dict[str, Any]
    refit: Refit | None = None


def find_finalists(settings: StudySettings, study: optuna.Study, workspace: Workspace) -> list[Finalist]:
    """The study's finalists; raises StudyError where there are none, or weights of a complete one are not there."""
    found = shortlist(study.get_trials(deepcopy=False), settings.promotion.finalists)
    if not found:
        raise StudyError(
            f"study {study.study_name!r} has no trial that could be promoted yet; `contourney resume` goes on with it"
        )
    for finalist in found:
        if finalist.value is not None:
            _check_weights(finalist, settings, study, workspace)
    return found


def decide(
    settings: StudySettings, finalists: Sequence[Finalist], workspace: Workspace, address: str | None, watcher: Watcher
) -> tuple[Outcome, Decision | None]:
    """Train what is missing of the finalists' runs, choose between them and refit the winner if that was declared.

    There is no decision while runs are missing.

    Raises ValueError for whatever the user can mend, also where no finalist has all of its replicates.
    """
    runs = promotion_runs(finalists, settings)
    outcome = run_confirmatory(runs, settings, workspace, address, watcher)
    if outcome.interrupted:
        return outcome, None
    confirm = confirm_study(settings.name, workspace)
    assert confirm is not None  # made by the run
    found = [read_replicated(finalist, settings, confirm, workspace) for finalist in finalists]
    whole = [one for one in found if one is not None]
    if len(whole) < len(found):
        return outcome, None
    sound = [one for one in whole if one.why_out is None]
    if not sound:
        raise StudyError(
            "no finalist has a complete run with every seed: "
            + "; ".join(f"{one.finalist.key} {one.why_out}" for one in whole)
            + "; `contourney promote NAME --trial N` promotes a trial without replicates"
        )
    plan = _plan(sound)
    choice = compare_finalists(
        [[replicate.counts for replicate in one.replicates] for one in sound],
        plan,
        [_device_s(one) for one in sound],
        settings.promotion.margin,
    )
    declared = open_study(settings.name, workspace).user_attrs["study"].get("promotion", {})
    record = _record(settings, whole, sound, choice, plan, declared="seeds" in declared)
    winner = sound[choice.winner]
    if settings.promotion.weights == "search":
        return outcome, Decision(winner, record)
    refitted, refit = refit_winner(winner, settings, confirm, workspace, address, watcher)
    return refitted or outcome, None if refit is None else Decision(winner, record, refit)


def _check_weights(finalist: Finalist, settings: StudySettings, study: optuna.Study, workspace: Workspace) -> None:
    best = trial_place(study, finalist.number, workspace).fetch(["best.pt"]) / "best.pt"
    if not best.is_file():
        raise no_weights(study, finalist.number, best)
    used = TrialSettings.model_validate_json(read_checkpoint(best, "settings")["settings"])
    if used != finalist_settings(finalist, settings):
        raise StudyError(
            f"trial {finalist.number} was trained with settings that its study no longer has: replicates would be of "
            "another configuration; `contourney promote NAME --trial N` promotes a trial without replicates"
        )


def _plan(sound: Sequence[Replicated]) -> Resampling:
    """One plan for all, so that finalists are compared on the same resamples."""
    scores_N = np.mean([replicate.counts.influence_N for one in sound for replicate in one.replicates], axis=0)
    plan = plan_resampling(sound[0].groups, scores_N)
    if plan is None:
        raise StudyError(
            "validation has a single image: nothing can be said of others; `contourney promote NAME --trial N` "
            "promotes a trial without a comparison"
        )
    return plan


def _record(
    settings: StudySettings,
    whole: Sequence[Replicated],
    sound: Sequence[Replicated],
    choice: Choice,
    plan: Resampling,
    *,
    declared: bool,
) -> dict[str, Any]:
    """As JSON; trials stand for the indices of the choice."""
    seeds, numbers = settings.promotion.seeds, [one.finalist.number for one in sound]
    best, folds = max(sound, key=value_in_search), settings.promotion.group_folds
    intervals = dict(zip(numbers, map(list, choice.intervals_F), strict=True))
    cost_s = {one.finalist.number: _device_s(one) for one in sound}
    return {
        "seeds": seeds,
        "kind": "claim" if seeds >= SEEDS_OF_A_CLAIM else "screen",
        "declared": declared,
        "margin": settings.promotion.margin,
        "group_folds": folds,
        "split": "validation" if folds is None else f"{folds} group folds of train and validation",
        "images": len(sound[0].groups),
        "resampling": plan.words,
        "conditional": plan.conditional,
        "seed_sd": choice.seed_sd,
        "seed_df": choice.seed_df,
        # The best of many values is higher than it will be again; replicates on the same images say by how much.
        "optimism": value_in_search(best) - choice.means_F[sound.index(best)] if folds is None else None,
        "finalists": [
            _describe(one, folds) | ({"interval": intervals[one.finalist.number]} if one.why_out is None else {})
            for one in whole
        ],
        "pairs": [
            {
                "trials": [numbers[pair.first], numbers[pair.second]],
                "difference": pair.difference,
                "se": pair.se,
                "df": pair.df,
                "p": pair.p,
                "p_holm": pair.p_holm,
            }
            for pair in choice.pairs
        ],
        "winner": numbers[choice.winner],
        "cheaper": [
            {
                "trial": numbers[index],
                "device_s": cost_s[numbers[index]] / cost_s[numbers[choice.winner]],
                "bound": bound,
                "as_good": index in choice.as_good,
            }
            for index, bound in choice.bounds.items()
        ],
    }


def _describe(one: Replicated, folds: int | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "trial": one.finalist.number,
        "pruned": one.finalist.value is None,
        "value": one.finalist.value,
        "left_out": one.why_out,
    }
    if one.why_out is not None:
        return described
    scores = [replicate.counts.miou for replicate in one.replicates]
    return described | {
        "value": value_in_search(one),
        "runs": [run.run for replicate in one.replicates for run in replicate.runs],
        "seeds": [replicate.seed for replicate in one.replicates],
        "miou": scores,
        "mean": statistics.fmean(scores),
        "sd": statistics.stdev(scores),
        "optimism": value_in_search(one) - statistics.fmean(scores) if folds is None else None,
        "device_s": _device_s(one),
    }


def _device_s(one: Replicated) -> float:
    """Mean device time of a finalist's runs, in seconds."""
    return statistics.fmean(run.device_s for replicate in one.replicates for run in replicate.runs)
