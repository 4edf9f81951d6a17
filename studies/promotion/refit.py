"""The refit: the winner's settings trained once more, on train and validation together, with no choice left to make."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from dashboards.text import counted
from search.records.study import read_rows
from studies.confirmatory.confirm import Confirmatory, find_run, run_confirmatory
from studies.files.study_settings import StudySettings
from studies.promotion.replicates import Replicate, Replicated, Trained, finalist_settings
from studies.running.launch import Outcome
from studies.running.places import trial_place
from studies.running.watcher import Watcher
from studies.stored import StudyError
from studies.workspace import Workspace
from trainables.data.batches import batch_count
from trainables.data.dataset import prepare
from trainables.data.repeats import shown_per_epoch
from trainables.data.splits import Split
from trainables.refit_settings import RefitSettings
from trainables.settings import TrialSettings

REFIT = "refit"


@dataclass(frozen=True)
class Refit:
    """The run in NAME/confirm that was trained on train and validation, and what the promotion's record says of it."""

    trial: FrozenTrial
    record: dict[str, Any]


def followed(replicates: Sequence[Replicate]) -> tuple[int, Trained]:
    """Seed and run of the replicates with the median best epoch: the refit has as many epochs, and its learning rates.

    Of an even number it is the lower of the two in the middle, so that epochs and rates are of one training; where
    several have that epoch, the first of them. The search's own trial would not do: where it was stopped early, it may
    have fewer epochs. Without a plateau all of them have the same rates.
    """
    trained = [(replicate.seed, run) for replicate in replicates for run in replicate.runs]
    median = statistics.median_low([run.best_epoch for _, run in trained])
    return next(pair for pair in trained if pair[1].best_epoch == median)


def refit_run(winner: Replicated, settings: StudySettings, confirm: optuna.Study, workspace: Workspace) -> Confirmatory:
    """The run that refits the winner, with the seed of its search trial."""
    own, (_, like) = finalist_settings(winner.finalist, settings), followed(winner.replicates)
    rows = read_rows(trial_place(confirm, like.run, workspace).fetch(["epochs.jsonl"]) / "epochs.jsonl")
    # A fold has other images to train on than the search had.
    trained = TrialSettings.model_validate(confirm.get_trials(deepcopy=False)[like.run].user_attrs["settings"])
    refit = RefitSettings(
        lr_trace=tuple(row.metrics["lr"] for row in rows[: like.best_epoch]),
        steps_per_epoch=_steps_per_epoch(trained, workspace),
    )
    return Confirmatory(REFIT, winner.finalist.key, own.model_copy(update={"refit": refit}), settings.trial.seed)


def refit_winner(
    winner: Replicated,
    settings: StudySettings,
    confirm: optuna.Study,
    workspace: Workspace,
    address: str | None,
    watcher: Watcher,
) -> tuple[Outcome | None, Refit | None]:
    """Train the refit, or go on with it; no outcome where it is there already, no refit while it is missing.

    Raises StudyError for one that diverged or does not fit into memory.
    """
    run, (seed, like) = refit_run(winner, settings, confirm, workspace), followed(winner.replicates)
    outcome, found = None, find_run(confirm, run)
    if found is None or found.state is not TrialState.COMPLETE:
        watcher.say(f"refit of {winner.finalist.key}: {counted(like.best_epoch, 'epoch')} on train and validation")
        outcome = run_confirmatory([run], settings, workspace, address, watcher)
        found = find_run(confirm, run)
    if found is None or (outcome is not None and outcome.interrupted):
        return outcome, None
    if found.state is not TrialState.COMPLETE:
        reason = str(found.user_attrs["reason"]).replace("_", " ")
        raise StudyError(
            f"the refit of {winner.finalist.key} ended as {reason}: `contourney promote NAME --trial "
            f"{winner.finalist.number}` promotes the weights of its search trial, and the record says so"
        )
    record = {
        "epochs": like.best_epoch,
        "best_epochs": [one.best_epoch for replicate in winner.replicates for one in replicate.runs],
        "follows": {"run": like.run, "seed": seed},
        "images": sum(found.user_attrs["facts"]["images"].values()),
    }
    return outcome, Refit(found, record)


def _steps_per_epoch(settings: TrialSettings, workspace: Workspace) -> int:
    train = prepare(settings.data, Split.TRAIN, workspace.cache)
    return batch_count(int(shown_per_epoch(settings.augment, train).sum()), settings.batch_size)
