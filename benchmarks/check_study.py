"""What must hold of a study's records: in Optuna's storage, in MLflow, in trial folders, after an interruption."""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from benchmarks.expect import expect, expect_that
from benchmarks.records import Records

STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED"}


def check_study(records: Records, trials: int, epochs: int, least_pruned: float = 1 / 3) -> dict[str, int]:
    """All of the checks below; returns the number of trials by state."""
    counts = check_counts(records, trials, least_pruned)
    check_epochs(records, epochs)
    check_values(records)
    check_mlflow(records)
    check_nothing_twice(records)
    return counts


def check_counts(records: Records, trials: int, least_pruned: float) -> dict[str, int]:
    """Exactly `trials` trials, numbered from 0, at least a share of them PRUNED and the rest COMPLETE."""
    expect("numbers of the trials", [trial.number for trial in records.trials], list(range(trials)))
    counts = Counter(trial.state.name for trial in records.trials)
    expect("states of the trials", sorted(set(counts) - {"PRUNED", "COMPLETE"}), [])
    expect_that(
        counts["PRUNED"] >= least_pruned * trials,
        f"at least {math.ceil(least_pruned * trials)} of {trials} trials PRUNED",
        counts["PRUNED"],
    )
    expect_that(counts["COMPLETE"] > 0, "at least one COMPLETE trial", 0)
    return {state: counts[state] for state in ("COMPLETE", "PRUNED")}


def check_epochs(records: Records, epochs: int) -> None:
    """Every epoch of every trial is recorded, in order and with one value in the storage, the folder and MLflow."""
    for trial in records.trials:
        # A database gives them back in any order.
        steps = sorted(trial.intermediate_values)
        expect(f"epochs of trial {trial.number}", steps, list(range(1, len(steps) + 1)))
        if trial.user_attrs["reason"] == "finished":
            expect(f"last epoch of trial {trial.number}, which finished", len(steps), epochs)
        expect_that(0 < len(steps) <= epochs, f"1 to {epochs} epochs of trial {trial.number}", len(steps))
        values = sorted(trial.intermediate_values.items())
        rows = [(row["epoch"], row["value"]) for row in records.rows[trial.number]]
        expect(f"rows in the folder of trial {trial.number}", rows, values)
        expect(f"val/miou of trial {trial.number} in MLflow", sorted(records.points[trial.number]), values)


def check_values(records: Records) -> None:
    """A COMPLETE trial has its best epoch's value, a PRUNED one its last epoch's; MLflow has the best one."""
    for trial in records.trials:
        values = trial.intermediate_values
        best_epoch = min(values, key=lambda epoch: (-values[epoch], epoch))
        is_complete = trial.state is TrialState.COMPLETE
        expect(f"value of trial {trial.number}", trial.value, values[best_epoch if is_complete else len(values)])
        expect(f"best epoch of trial {trial.number}", trial.user_attrs["best_epoch"], best_epoch)
        metrics = records.runs[trial.number].data.metrics
        expect(f"best/val_miou of trial {trial.number}", metrics["best/val_miou"], values[best_epoch])


def check_mlflow(records: Records) -> None:
    """MLflow has one run a trial under one parent, with the trial's state, reason and parameters."""
    expect("trials with a run in MLflow", sorted(records.runs), [trial.number for trial in records.trials])
    expect("status of the parent run", records.parent.info.status, "FINISHED")
    for trial in records.trials:
        run = records.runs[trial.number]
        tags = run.data.tags
        expect(f"parent of trial {trial.number}", tags["mlflow.parentRunId"], records.parent.info.run_id)
        expect(f"status of trial {trial.number}", run.info.status, STATUS[trial.state])
        expect(f"state tag of trial {trial.number}", tags["contourney.state"], trial.state.name)
        expect(f"reason tag of trial {trial.number}", tags["contourney.reason"], trial.user_attrs["reason"])
        # A trial that ended while MLflow was away has none.
        kept = trial.user_attrs.get("mlflow_run_id", run.info.run_id)
        expect(f"run id of trial {trial.number}", kept, run.info.run_id)
        expect(f"parameters of trial {trial.number}", run.data.params, {k: str(v) for k, v in trial.params.items()})


def check_nothing_twice(records: Records) -> None:
    """No two trials have the same parameters, and no epoch was trained twice into the records."""
    seen: dict[str, int] = {}
    for trial in records.trials:
        key = repr(sorted(trial.params.items()))
        expect_that(key not in seen, f"new parameters for trial {trial.number}", f"those of trial {seen.get(key)}")
        seen[key] = trial.number
        epochs = [row["epoch"] for row in records.rows[trial.number]]
        expect(f"epochs in the folder of trial {trial.number}", len(set(epochs)), len(epochs))


def snapshot(trials: Collection[FrozenTrial]) -> dict[str, Any]:
    """What an interruption left, as JSON values: ended trials with their values, waiting ones with their epochs."""
    return {
        "ended": {str(trial.number): trial.value for trial in trials if trial.state.is_finished()},
        "waiting": {
            str(trial.number): {str(epoch): value for epoch, value in trial.intermediate_values.items()}
            for trial in trials
            if trial.state is TrialState.WAITING
        },
        "states": dict(Counter(trial.state.name for trial in trials)),
    }


def check_interruption(left: Mapping[str, Any], records: Records, trials: int) -> None:
    """The interruption came in the middle, left no trial RUNNING, and what it left went on under the same numbers."""
    ended, waiting = left["ended"], left["waiting"]
    expect_that(0 < len(ended) < trials, f"an interruption after 1 to {trials - 1} ended trials", len(ended))
    expect_that(bool(waiting), "trials that wait to go on", left["states"])
    expect("trials left RUNNING", left["states"].get("RUNNING", 0), 0)
    for number, value in ended.items():
        expect(f"value of trial {number}, ended before the interruption", records.trials[int(number)].value, value)
    for number, values in waiting.items():
        now = records.trials[int(number)].intermediate_values
        kept = {epoch: now.get(int(epoch)) for epoch in values}
        expect(f"epochs of trial {number} from before the interruption", kept, dict(values))
