"""Requests to the holder of a study: how a driver applies them, and how a command asks and learns what came of it."""

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.bridge import Bridge, Rules, take_over
from search.budget import Budget, BudgetError, check_raise
from search.first_trials import enqueue_first, enqueue_once
from search.lease import LeaseTaken, open_lease
from search.records.mlflow_store import MlflowStore, TrackingError
from search.requests import Enqueue, Extend, Request, Stop, answer_to, apply_requests, post
from search.samplers import grid_size
from search.space import Space
from search.space_settings import SpaceError
from search.states import Reason
from studies.files.first_checks import GRID
from studies.files.space_checks import study_space
from studies.files.study_settings import StudySettings
from studies.running.recording import BEST, answering, bring_up_to_date
from studies.stored import StudyError, load_settings, open_study
from studies.workspace import Workspace

# A driver looks every two seconds; one that is busy is waited for this long.
PATIENCE_S = 30.0
LOOK_EVERY_S = 0.2


class Requests:
    """Applies what others ask of a study, each request once; only the holder of the study's lease may.

    With a `bridge` trials are stopped through it; without one that has to wait. `ending` says that the driver was
    asked to end.
    """

    def __init__(
        self, study: optuna.Study, settings: StudySettings, budget: Budget, bridge: Bridge | None = None
    ) -> None:
        self._study = study
        self._budget = budget
        self._space = study_space(settings)
        self._fixed = settings.trial.model_dump(mode="json")
        self._grid = settings.search.sampler.name == "grid"
        self.bridge = bridge
        self.ending = False

    def take(self) -> bool:
        """Apply what was asked since the last call; returns whether the driver was asked to end."""
        apply_requests(self._study, self._apply)
        return self.ending

    def _apply(self, key: str, request: Request) -> str | None:
        match request:
            case Extend():
                return self._extend(request)
            case Stop(None):
                self.ending = True
                return "the driver ends in order; its open trials wait to go on"
            case Stop(int() as number):
                return self._stop(number)
            case Enqueue():
                return self._enqueue(key, request.values)
        raise AssertionError("unreachable")

    def _extend(self, request: Extend) -> str:
        try:
            check_raise(self._budget, request.trials, request.hours)
        except BudgetError as error:
            return f"refused: {error}"
        self._budget.raise_to(request.trials, request.hours)
        stored = self._study.user_attrs["study"]
        search = {**stored["search"], "trials": self._budget.trials, "hours": self._budget.hours}
        self._study.set_user_attr("study", {**stored, "search": search})
        totals = [f"{self._budget.trials} trials"] if self._budget.trials is not None else []
        totals += [f"{self._budget.hours:g} hours"] if self._budget.hours is not None else []
        return f"the budget is {' or '.join(totals)}"

    def _stop(self, number: int) -> str | None:
        trial = find_trial(self._study, number)
        if trial is None:
            return f"there is no trial {number}"
        if trial.state.is_finished():
            # A crash may have come between the end and this answer.
            mine = trial.user_attrs.get("reason") == Reason.STOPPED
            return _stopped(trial) if mine else f"trial {number} had ended already, {trial.state.name.lower()}"
        # One that is drawn ahead of its start is stopped once it has started.
        if self.bridge is None or not self.bridge.stop(number):
            return None
        trial = find_trial(self._study, number)
        assert trial is not None
        return _stopped(trial)

    def _enqueue(self, key: str, values: Mapping[str, Any]) -> str:
        if self._grid:
            return f"refused: {GRID}"
        try:
            chosen = self._space.check(values, self._fixed)
        except SpaceError as error:
            return f"refused: {error}"
        spent = budget_left(self._study, self._budget) == 0
        number = enqueue_once(self._study, key, chosen)
        late = "; the budget is spent, so it starts after `contourney extend`" if spent else ""
        return f"trial {number} waits with these values{late}"


@dataclass(frozen=True)
class Answer:
    """What came of a request, None where nobody has answered yet; `driver`: a driver was asked, not this process."""

    outcome: str | None
    driver: bool


def request(name: str, workspace: Workspace, wanted: Request, say: Callable[[str], None]) -> Answer:
    """Ask the holder of study `name` and wait for its answer, up to half a minute; with no holder, apply at once."""
    study = open_study(name, workspace, write=True)
    key = post(study, wanted)
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with open_lease(workspace.storage, name):
                return Answer(_apply_here(name, workspace, key, wanted, say), driver=False)
        except LeaseTaken:
            outcome = _wait(name, workspace, key, wanted, min(end, time.monotonic() + 2))
        if outcome is not None or time.monotonic() > end:
            return Answer(outcome, driver=True)


def check_enqueue(name: str, workspace: Workspace, values: Mapping[str, Any]) -> Enqueue:
    """The request for a trial with these values; raises ValueError where the study does not take it."""
    study, settings = open_study(name, workspace), load_settings(name, workspace)
    if not values:
        raise StudyError("expected at least one KEY=VALUE, such as optimizer.lr=3e-4")
    if settings.search.sampler.name == "grid":
        raise StudyError(f"study {name!r}: {GRID}")
    chosen = study_space(settings).check(values, settings.trial.model_dump(mode="json"))
    total = settings.search.trials
    if total is not None and budget_left(study, Budget(total, None)) == 0:
        raise StudyError(
            f"the {total} trials of study {name!r} have ended or are in hand, and an enqueued one counts; raise the "
            f"budget first: contourney extend {shlex.quote(name)} --trials {total + 1}"
        )
    return Enqueue(chosen)


def check_stop(name: str, workspace: Workspace, number: int | None) -> Stop:
    """The request to stop a trial or the whole study; raises StudyError where there is nothing to stop."""
    study = open_study(name, workspace)
    trial = None if number is None else find_trial(study, number)
    if number is not None and trial is None:
        raise StudyError(f"study {name!r} has no trial {number}; it has {len(study.get_trials(deepcopy=False))}")
    if trial is not None and trial.state.is_finished():
        raise StudyError(f"trial {number} has ended already: {trial.state.name.lower()}")
    return Stop(number)


def check_extend(name: str, workspace: Workspace, trials: int | None, hours: float | None) -> Extend:
    """The request for new totals of the budget; raises ValueError where they are none."""
    settings = load_settings(name, workspace)
    check_raise(Budget(settings.search.trials, settings.search.hours), trials, hours)
    grid = settings.search.sampler.name == "grid"
    if grid and trials is not None and trials > grid_size(study_space(settings).distributions):
        raise StudyError(f"study {name!r} searches a grid, and all of its points are in its budget already")
    return Extend(trials, hours)


def void_stops(study: optuna.Study) -> None:
    """Answer what asked an earlier driver to end: the one that opens the study now was not meant."""
    apply_requests(study, lambda key, one: "no driver was running" if one == Stop(None) else None)


def budget_left(study: optuna.Study, budget: Budget) -> int | None:
    """Trials of the budget that no trial has taken, those that run or wait included; None without such a budget."""
    return None if budget.trials is None else max(0, budget.trials - len(study.get_trials(deepcopy=False)))


def find_trial(study: optuna.Study, number: int) -> FrozenTrial | None:
    """Trial `number`, None where there is none."""
    return next((trial for trial in study.get_trials(deepcopy=False) if trial.number == number), None)


def _apply_here(name: str, workspace: Workspace, key: str, wanted: Request, say: Callable[[str], None]) -> str:
    """Apply what was asked with no driver running; the caller holds the lease."""
    study = open_study(name, workspace, write=True)
    if key not in study.user_attrs:
        post(study, wanted, key)
    void_stops(study)
    settings = load_settings(name, workspace)
    take_over(study)
    enqueue_first(study)
    silent = Unrecorded()
    bridge = Bridge(study, Space(()), {}, rules=Rules(1), budget=Budget(None, None), recorder=silent, listener=silent)
    Requests(study, settings, Budget(settings.search.trials, settings.search.hours), bridge).take()
    if silent.ended:
        _tell_mlflow(study, name, workspace, say)
    return answer_to(study, key) or "nothing came of it"


def _tell_mlflow(study: optuna.Study, name: str, workspace: Workspace, say: Callable[[str], None]) -> None:
    facts = study.user_attrs["facts"]
    try:
        with answering(workspace):
            store = MlflowStore(workspace.tracking, name, workspace.artifacts, BEST)
            bring_up_to_date(study, store, workspace, facts["class_names"])
    except TrackingError as error:
        say(f"{error}; once it answers, `contourney reconcile {shlex.quote(name)}` writes what it lacks")


def _wait(name: str, workspace: Workspace, key: str, wanted: Request, until_s: float) -> str | None:
    while time.monotonic() < until_s:
        study = open_study(name, workspace)
        if key not in study.user_attrs:
            # The study was replaced while its space was changed, and what was asked just then with it.
            post(open_study(name, workspace, write=True), wanted, key)
        elif outcome := answer_to(study, key):
            return outcome
        time.sleep(LOOK_EVERY_S)
    return None


def _stopped(trial: FrozenTrial) -> str:
    after = f"after epoch {trial.last_step}" if trial.last_step is not None else "before its first epoch was recorded"
    return f"trial {trial.number} was stopped {after}"


class Unrecorded:
    """The recorder and listener of a bridge without a driver; counts the trials that ended."""

    def __init__(self) -> None:
        self.ended = 0

    def opened(self, number: int, values: Mapping[str, Any]) -> None:
        """A trial starts or goes on."""

    def run_id(self, number: int, *, wait: bool) -> str | None:
        """None: the next driver looks for it."""
        return None

    def epoch(self, number: int, row: Mapping[str, Any]) -> None:
        """An epoch arrived."""

    def closed(self, number: int, state: TrialState, reason: Reason) -> None:
        """A trial ended."""
        self.ended += 1

    def on_trial(self, number: int, reason: Reason | None, values: Mapping[str, Any]) -> None:
        """A trial started or ended."""

    def on_epoch(self, number: int, epoch: int, value: float | None) -> None:
        """An epoch arrived."""
