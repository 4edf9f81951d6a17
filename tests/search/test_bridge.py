"""The bridge: exactly once, precedence of ends, resume."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.bridge import is_audited, take_over
from search.budget import Budget, BudgetError, check_raise
from search.states import Reason
from search.storage import open_storage
from tests.search.tabulated import EPOCHS, Records, open_bridge, row, run_side_by_side


def reopen(journal: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=open_storage(str(journal), write=True))


def test_a_replayed_epoch_changes_nothing(study: optuna.Study) -> None:
    records = Records()
    bridge = open_bridge(study, records=records)
    proposal = bridge.ask()
    assert proposal is not None
    bridge.report(proposal.number, row(1, 0.5))
    bridge.report(proposal.number, row(1, 0.9))
    assert study.trials[0].intermediate_values == {1: 0.5}
    assert [event for event in records.events if event[0] == "epoch"] == [("epoch", 0, 1, 0.5)]


def test_optuna_is_written_before_the_recorder(study: optuna.Study) -> None:
    class Reading(Records):
        def epoch(self, number, row):  # type: ignore[no-untyped-def]
            assert study.trials[number].intermediate_values[row["epoch"]] == row["value"]
            super().epoch(number, row)

        def closed(self, number, state, reason):  # type: ignore[no-untyped-def]
            assert study.trials[number].state is state
            super().closed(number, state, reason)

    records = Reading()
    run_side_by_side(open_bridge(study, trials=3, records=records))
    assert sum(event[0] == "closed" for event in records.events) == 3


def test_a_complete_trial_has_its_best_epochs_value_and_the_first_of_equals(study: optuna.Study) -> None:
    bridge = open_bridge(study)
    bridge.ask()
    for epoch, value in enumerate([0.1, 0.4, 0.4, 0.2], start=1):
        bridge.report(0, row(epoch, value, "early_stopped" if epoch == 4 else None))
    trial = study.trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.4)
    assert trial.user_attrs["best_epoch"] == 2
    assert trial.user_attrs["reason"] == "early_stopped"
    assert trial.user_attrs["mlflow_run_id"] == "run-0"


@pytest.mark.parametrize("end", ["diverged", "finished", "early_stopped"])
def test_a_workers_end_stands_before_the_pruner(study: optuna.Study, end: str) -> None:
    bridge = open_bridge(study, pruner="threshold", pruner_arguments={"lower": 0.9, "n_warmup_steps": 0})
    bridge.ask()
    assert bridge.report(0, row(1, 0.1, end)).reason == end


def test_the_pruner_is_not_asked_at_the_last_epoch(study: optuna.Study) -> None:
    bridge = open_bridge(study, pruner="threshold", pruner_arguments={"lower": 0.9, "n_warmup_steps": EPOCHS})
    bridge.ask()
    decisions = [bridge.report(0, row(epoch, 0.1)).reason for epoch in range(1, EPOCHS)]
    assert decisions == [None] * (EPOCHS - 1)
    assert bridge.report(0, row(EPOCHS, 0.1, "finished")).reason is Reason.FINISHED


@pytest.mark.parametrize("reason", [Reason.DIVERGED, Reason.OUT_OF_MEMORY])
def test_a_diverged_trial_is_pruned_with_a_violated_constraint(study: optuna.Study, reason: Reason) -> None:
    bridge = open_bridge(study)
    bridge.ask()
    bridge.report(0, row(1, 0.02))
    bridge.end(0, reason)
    trial = study.trials[0]
    assert trial.state is TrialState.PRUNED
    assert trial.user_attrs["reason"] == reason
    assert {key: value for key, value in trial.system_attrs.items() if key.startswith("constraint")} == {
        f"constraints:{reason}": 1.0
    }
    bridge.ask()
    bridge.report(1, row(1, 0.01, "finished"))
    assert study.best_trial.number == 1


def test_a_trial_that_diverges_without_any_value_can_be_told(study: optuna.Study) -> None:
    bridge = open_bridge(study)
    bridge.ask()
    assert bridge.report(0, row(1, None, "diverged")).reason is Reason.DIVERGED
    assert study.trials[0].value is None
    assert study.trials[0].user_attrs["best_epoch"] is None


def test_a_trial_that_is_not_measured_is_complete_with_what_stands_in_for_a_value(study: optuna.Study) -> None:
    records = Records()
    bridge = open_bridge(study, records=records)
    bridge.ask()
    bridge.report(0, {**row(1, None), "stand_in": -0.7})
    bridge.interrupt()
    assert study.trials[0].state is TrialState.WAITING
    proposal = bridge.ask()
    assert proposal is not None
    # Optuna has no epoch of it: all rows come again.
    assert (proposal.number, proposal.recorded) == (0, 0)
    bridge.report(0, {**row(1, None), "stand_in": -0.7})
    assert bridge.report(0, {**row(2, None, "finished"), "stand_in": -0.5}).reason is Reason.FINISHED
    trial = study.trials[0]
    assert (trial.state, trial.value, trial.intermediate_values) == (TrialState.COMPLETE, -0.5, {})
    assert (trial.user_attrs["unmeasured"], trial.user_attrs["best_epoch"]) == (True, None)
    assert records.events[-1] == ("closed", 0, TrialState.COMPLETE, Reason.FINISHED)


def test_a_trial_without_any_value_fails(study: optuna.Study) -> None:
    bridge = open_bridge(study)
    bridge.ask()
    bridge.report(0, row(1, None, "finished"))
    assert (study.trials[0].state, study.trials[0].value) == (TrialState.FAIL, None)


def test_a_failure_keeps_its_message_and_counts(study: optuna.Study) -> None:
    bridge = open_bridge(study, trials=1)
    bridge.ask()
    bridge.fail(0, "Traceback: KeyError")
    assert study.trials[0].state is TrialState.FAIL
    assert study.trials[0].user_attrs["error"] == "Traceback: KeyError"
    assert bridge.ask() is None
    assert (bridge.counted, bridge.ends) == (1, {Reason.ERROR: 1})


def test_an_interrupted_trial_goes_on_under_its_number_with_one_unbroken_curve(
    study: optuna.Study, journal: Path
) -> None:
    bridge = open_bridge(study, trials=6)
    run_side_by_side(bridge, workers=2, stop_after=5)
    bridge.interrupt()
    waiting = [trial for trial in study.trials if trial.state is TrialState.WAITING]
    assert [(trial.number, trial.user_attrs["reason"]) for trial in waiting] == [(0, "interrupted"), (1, "interrupted")]
    again = reopen(journal)
    run_side_by_side(open_bridge(again, trials=6), workers=2)
    assert [trial.state for trial in again.trials] == [TrialState.COMPLETE] * 6
    assert all(list(trial.intermediate_values) == list(range(1, EPOCHS + 1)) for trial in again.trials)
    assert all(trial.user_attrs["reason"] == "finished" for trial in again.trials)


def test_the_last_recorded_row_is_asked_for_again_and_ends_the_trial(study: optuna.Study, journal: Path) -> None:
    bridge = open_bridge(study)
    proposal = bridge.ask()
    assert proposal is not None
    # A driver that dies after Optuna's report and before its tell leaves just this.
    for epoch in range(1, EPOCHS + 1):
        bridge._open[0].trial.report(0.1 * epoch, step=epoch)
    again = reopen(journal)
    assert take_over(again) == [0]
    resumed = open_bridge(again)
    proposal = resumed.ask()
    assert proposal is not None
    assert (proposal.number, proposal.recorded) == (0, EPOCHS - 1)
    assert resumed.report(0, row(EPOCHS, 0.1 * EPOCHS, "finished")).reason is Reason.FINISHED
    assert again.trials[0].state is TrialState.COMPLETE


def test_results_of_a_trial_that_is_not_open_stop_it(study: optuna.Study) -> None:
    assert open_bridge(study).report(7, row(1, 0.5)).stop


def test_the_audit_draw_has_its_share_and_does_not_depend_on_the_process() -> None:
    drawn = sum(is_audited(0, number, 0.1) for number in range(10_000))
    assert 900 < drawn < 1100
    assert [number for number in range(60) if is_audited(0, number, 0.1)] == [
        number for number in range(60) if is_audited(0, number, 0.1)
    ]
    assert not any(is_audited(0, number, 0.0) for number in range(1000))
    assert all(is_audited(0, number, 1.0) for number in range(1000))


def test_a_budget_only_grows() -> None:
    with pytest.raises(BudgetError, match="--trials 5 is the new total and must be above the present 10"):
        check_raise(Budget(10, None), 5, None)
    with pytest.raises(BudgetError, match="expected --trials N or --hours H"):
        check_raise(Budget(10, None), None, None)


def test_a_queue_runs_its_own_trials_alone_in_its_own_order(study: optuna.Study) -> None:
    for number in range(5):
        study.enqueue_trial({}, user_attrs={"key": f"row {number}"})
    bridge = open_bridge(study, trials=None, queue=[3, 1])
    proposals = [bridge.ask(), bridge.ask()]
    assert [proposal and proposal.number for proposal in proposals] == [3, 1]
    assert bridge.ask() is None
    bridge.report(3, row(1, 0.5, "finished"))
    bridge.fail(1, "Traceback: KeyError")
    assert bridge.ask() is None
    # What others enqueued still waits, and nothing was proposed beside it.
    waiting, complete, failed = TrialState.WAITING, TrialState.COMPLETE, TrialState.FAIL
    assert [trial.state for trial in study.trials] == [waiting, failed, waiting, complete, waiting]
    assert study.trials[3].user_attrs["key"] == "row 3"


def test_a_queue_counts_its_own_ends_alone(study: optuna.Study) -> None:
    before = open_bridge(study)
    before.ask()
    before.fail(0, "of an earlier run")
    study.enqueue_trial({})
    bridge = open_bridge(study, trials=None, queue=[1])
    assert (bridge.counted, bridge.ends) == (0, {})
    bridge.ask()
    bridge.report(1, row(1, 0.5, "finished"))
    assert (bridge.counted, sum(bridge.ends.values())) == (1, 1)


def test_an_interrupted_trial_of_a_queue_goes_on_in_the_next(study: optuna.Study, journal: Path) -> None:
    study.enqueue_trial({}, user_attrs={"key": "a"})
    study.enqueue_trial({}, user_attrs={"key": "b"})
    bridge = open_bridge(study, trials=None, queue=[1])
    bridge.ask()
    for epoch in (1, 2):
        bridge.report(1, row(epoch, 0.1 * epoch))
    bridge.interrupt()
    again = reopen(journal)
    resumed = open_bridge(again, trials=None, queue=[1])
    proposal = resumed.ask()
    assert proposal is not None
    assert (proposal.number, proposal.recorded) == (1, 1)
    resumed.report(1, row(3, 0.3, "finished"))
    assert list(again.trials[1].intermediate_values) == [1, 2, 3]
    assert again.trials[0].state is TrialState.WAITING


@pytest.fixture
def always_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every draw counts as slow."""
    monkeypatch.setattr("search.bridge.AHEAD_FROM_S", 0.0)


@pytest.mark.usefixtures("always_ahead")
def test_drawing_ahead_spends_exactly_the_budget(study: optuna.Study) -> None:
    records = Records()
    bridge = open_bridge(study, trials=12, sampler="tpe", pruner="median", records=records, ahead=True)
    run_side_by_side(bridge)
    assert [trial.state.is_finished() for trial in study.trials] == [True] * 12
    assert [event[1] for event in records.events if event[0] == "opened"] == list(range(12))
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 12


@pytest.mark.usefixtures("always_ahead")
def test_a_trial_drawn_ahead_is_interrupted_with_the_others_and_goes_on(study: optuna.Study, journal: Path) -> None:
    records = Records()
    bridge = open_bridge(study, trials=12, records=records, ahead=True)
    run_side_by_side(bridge, workers=2, stop_after=5)
    bridge.interrupt()
    # Two ran, the third was drawn; the records know all of them.
    assert [trial.state for trial in study.trials] == [TrialState.WAITING] * 3
    assert [event[1] for event in records.events if event[0] == "closed"] == [0, 1, 2]
    drawn = [trial.params for trial in study.trials]
    again = optuna.load_study(study_name="s", storage=open_storage(str(journal), write=True))
    run_side_by_side(open_bridge(again, trials=12, ahead=True), workers=2)
    assert [trial.params for trial in again.trials][:3] == drawn
    assert [trial.state for trial in again.trials] == [TrialState.COMPLETE] * 12
