"""A sampler or pruner that raises: the search ends in order, nothing is lost, and the next run goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from search.blame import AlgorithmFailed
from search.bridge import Bridge
from search.ray_searcher import RayScheduler, RaySearcher, RaySession, RayStopper
from search.storage import open_storage
from tests.search.tabulated import EPOCHS, Records, open_bridge, row, run_side_by_side

TRIALS = 6


class Faulty(RandomSampler):
    """Raises in one of its methods from a call of it on."""

    def __init__(self, method: str, call: int) -> None:
        super().__init__(seed=0)
        self._method = method
        self._left = call

    def _count(self, method: str) -> None:
        if method == self._method:
            self._left -= 1
            if self._left <= 0:
                raise KeyError(f"no {method}")

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._count("before_trial")
        super().before_trial(study, trial)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: BaseDistribution):  # type: ignore[no-untyped-def]
        self._count("sample_independent")
        return super().sample_independent(study, trial, name, distribution)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._count("after_trial")
        super().after_trial(study, trial, state, values)


class FaultyPruner(BasePruner):
    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if trial.number >= 2 and trial.last_step == 4:
            raise ZeroDivisionError("no median")
        return False


def faulty(study: optuna.Study, what: str) -> None:
    if what == "prune":
        study.pruner = FaultyPruner()
    else:
        study.sampler = Faulty(what, {"before_trial": 4, "sample_independent": 12, "after_trial": 1}[what])


def reopened(journal: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=open_storage(str(journal), write=True))


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("what", ["before_trial", "sample_independent", "after_trial", "prune"])
def test_open_trials_wait_and_go_on_once_it_is_mended(
    study: optuna.Study, journal: Path, what: str, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.bridge.AHEAD_FROM_S", 0.0)
    records = Records()
    bridge = open_bridge(study, trials=TRIALS, records=records, ahead=ahead)
    faulty(study, what)
    kind, name = ("pruner", "FaultyPruner") if what == "prune" else ("sampler", "Faulty")
    with pytest.raises(AlgorithmFailed, match=rf"search\.{kind}: tests\.search\.test_blame\.{name} raised") as raised:
        run_side_by_side(bridge, workers=2)
    assert "\n" not in str(raised.value)
    assert "Traceback" in raised.value.traceback
    assert "test_blame.py" in raised.value.traceback
    bridge.interrupt()
    bridge.interrupt()
    left = reopened(journal).trials
    assert {trial.state for trial in left} <= {TrialState.COMPLETE, TrialState.WAITING}
    waiting = [trial for trial in left if trial.state is TrialState.WAITING]
    assert waiting
    run_side_by_side(open_bridge(reopened(journal), trials=TRIALS, records=records), workers=2)
    trials = reopened(journal).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * TRIALS
    assert all(sorted(trial.intermediate_values) == [*range(1, EPOCHS + 1)] for trial in trials)
    epochs = [event[1:3] for event in records.events if event[0] == "epoch"]
    assert len(epochs) == len(set(epochs)) == TRIALS * EPOCHS


def test_a_journal_that_is_gone_is_no_fault_of_the_sampler(study: optuna.Study, journal: Path) -> None:
    bridge = open_bridge(study)
    journal.unlink()
    with pytest.raises(FileNotFoundError, match="optuna"):
        bridge.ask()


def session_of(bridge: Bridge, ended: Callable[[], bool] = lambda: False) -> RaySession:
    return RaySession("s", bridge, lambda proposal: {"number": proposal.number}, ended, retries=0)


def test_ray_is_told_to_end_where_the_sampler_raises(study: optuna.Study) -> None:
    bridge = open_bridge(study)
    study.sampler = Faulty("before_trial", 2)
    with session_of(bridge) as session:
        searcher, stopper = RaySearcher(session), RayStopper(session)
        assert isinstance(searcher.suggest("a"), dict)
        assert not stopper.stop_all()
        assert searcher.suggest("b") == RaySearcher.FINISHED
        assert stopper.stop_all()
        assert isinstance(session.failed, AlgorithmFailed)
        assert searcher.suggest("c") == RaySearcher.FINISHED
    assert [trial.state for trial in study.trials] == [TrialState.WAITING] * 2


@pytest.mark.parametrize("end", ["report", "death"])
def test_ray_is_told_to_end_where_a_trial_cannot_be_ended(study: optuna.Study, end: str) -> None:
    bridge = open_bridge(study)
    study.sampler = Faulty("after_trial", 1)
    with session_of(bridge) as session:
        searcher = RaySearcher(session)
        searcher.suggest("a"), searcher.suggest("b")
        if end == "report":
            assert session.take("a", {"row": row(1, 0.5, "finished")}) == RayScheduler.STOP
        else:
            session.count_death("a", "killed")
            searcher.on_trial_complete("a", error=True)
        assert session.failed is not None
        assert RayStopper(session).stop_all()
    ended = TrialState.COMPLETE if end == "report" else TrialState.FAIL
    assert [trial.state for trial in study.trials] == [ended, TrialState.WAITING]
