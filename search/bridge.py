"""The bridge between whoever runs trials and Optuna's storage, the truth of a study; it knows no Ray."""

import hashlib
import math
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from search.blame import AlgorithmFailed, blamed
from search.budget import Budget
from search.space import Space
from search.states import COUNTED, END_STATES, VIOLATIONS, Decision, Reason

ERROR_CHARACTERS = 8000
# A draw that takes longer is made ahead, where several trials run at once: what draws is not what listens.
AHEAD_FROM_S = 0.02


class Recorder(Protocol):
    """Where a study is recorded beside Optuna, always after it; MLflow in practice."""

    def opened(self, number: int, values: Mapping[str, Any]) -> None:
        """A trial starts or goes on."""

    def run_id(self, number: int, *, wait: bool) -> str | None:
        """The recorder's own name of the trial, None while unknown; with `wait`, once the recorder can know it."""

    def epoch(self, number: int, row: Mapping[str, Any]) -> None:
        """One epoch's whole row, once per (trial, epoch)."""

    def closed(self, number: int, state: TrialState, reason: Reason) -> None:
        """A trial ended, or waits to go on."""


class Listener(Protocol):
    """Who watches: the terminal."""

    def on_trial(self, number: int, reason: Reason | None, values: Mapping[str, Any]) -> None:
        """A trial with these values started (no reason) or ended."""

    def on_epoch(self, number: int, epoch: int, value: float | None) -> None:
        """An epoch arrived."""


@dataclass(frozen=True)
class Proposal:
    """A trial to run: its number, the values of its active parameters, and the epochs already recorded."""

    number: int
    values: Mapping[str, Any]
    recorded: int


@dataclass(frozen=True)
class Rules:
    """What holds for every trial: its last epoch, the share that is never pruned, and the seed which draws that share.

    With `ahead` the next trial may be drawn by a thread while others run, once a draw takes 20 ms: at 10,000 trials
    TPE takes a tenth of a second, the GP sampler seconds. It then knows fewer ends, by at most one draw's time. One
    who runs a single trial at a time has nothing to gain from it.
    """

    epochs: int
    audit: float = 0.0
    seed: int = 0
    ahead: bool = False


@dataclass(frozen=True)
class _Draw:
    """A trial with its values, and how long Optuna took for them."""

    trial: optuna.Trial
    values: dict[str, Any]
    took_s: float


@dataclass
class _OpenTrial:
    trial: optuna.Trial
    seen: set[int]
    values: dict[int, float] = field(default_factory=dict)
    stand_in: float | None = None


class Bridge:
    """Asks Optuna for trials, writes each epoch once, decides who stops, and tells the end with its reason.

    The caller must hold the study's lease, and call `interrupt` after AlgorithmFailed, which tells that the sampler or
    the pruner raised. `fixed` are the settings that conditions of the space are read from; the budget may grow
    meanwhile. With a `queue` of waiting trials' numbers those alone are run, in that order, and counted.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        fixed: Mapping[str, Any],
        *,
        rules: Rules,
        budget: Budget,
        recorder: Recorder,
        listener: Listener,
        queue: Iterable[int] | None = None,
    ) -> None:
        self._study = study
        self._space = space
        self._fixed = fixed
        self._rules = rules
        self._budget = budget
        self._recorder = recorder
        self._listener = listener
        self._open: dict[int, _OpenTrial] = {}
        self._queue = None if queue is None else deque(queue)
        self._drawer = ThreadPoolExecutor(1, thread_name_prefix="draw") if rules.ahead and queue is None else None
        self._drawn: Future[_Draw | None] | None = None
        # A sampler that raises leaves a trial RUNNING of which nobody else knows.
        self._undrawn = False
        # None of a queue's trials has ended yet.
        states = [trial.state for trial in study.get_trials(deepcopy=False)] if queue is None else []
        self._counted = sum(state in COUNTED for state in states)
        self._ends: Counter[Reason] = Counter()

    @property
    def open_trials(self) -> int:
        """Number of trials that are running."""
        return len(self._open)

    @property
    def counted(self) -> int:
        """Number of trials that the budget counts."""
        return self._counted

    @property
    def ends(self) -> Mapping[Reason, int]:
        """Number of trials by reason that ended since this bridge was opened."""
        return self._ends

    @property
    def drawing(self) -> bool:
        """Whether the next trial is still being drawn: `ask` would wait for it."""
        return self._drawn is not None and not self._drawn.done()

    def ask(self) -> Proposal | None:
        """The next trial, a waiting one first; None when the budget is spent or in hand."""
        if not self._budget_left():
            return None
        drawn, self._drawn = (self._draw() if self._drawn is None else self._drawn.result()), None
        if drawn is None:
            return None
        trial, values = drawn.trial, drawn.values
        recorded = self._study._storage.get_trial(trial._trial_id).intermediate_values
        if "audit" not in trial.user_attrs:
            trial.set_user_attr("audit", is_audited(self._rules.seed, trial.number, self._rules.audit))
        if trial.user_attrs.get("reason") == Reason.INTERRUPTED:
            trial.set_user_attr("reason", None)
        self._open[trial.number] = _OpenTrial(trial, set(recorded), dict(recorded))
        self._recorder.opened(trial.number, values)
        self._listener.on_trial(trial.number, None, values)
        if self._drawer is not None and drawn.took_s > AHEAD_FROM_S and self._budget_left():
            self._drawn = self._drawer.submit(self._draw)
        # The last recorded row is asked for again: what it decides may not have been told before a crash.
        return Proposal(trial.number, values, max(0, max(recorded, default=0) - 1))

    def report(self, number: int, row: Mapping[str, Any]) -> Decision:
        """Write one epoch's row, first write wins, and decide.

        `row` has `epoch` (from 1), `value` (None where undefined) and `end` (a reason of the worker's, or None);
        a worker's end stands before the pruner's word, and the pruner is not asked at the last epoch. A trial that is
        not measured has values None and a `stand_in`: Optuna has the last one as its value once it is complete, and the
        attribute `unmeasured` with it.
        """
        entry = self._open.get(number)
        if entry is None:
            return Decision(Reason.STOPPED)
        epoch, value = int(row["epoch"]), row["value"]
        entry.stand_in = row.get("stand_in")
        if epoch not in entry.seen:
            if value is not None:
                entry.trial.report(value, step=epoch)
                entry.values[epoch] = value
            entry.seen.add(epoch)
            self._recorder.epoch(number, row)
            self._listener.on_epoch(number, epoch, value)
        self._keep_run_id(number, wait=False)
        if row["end"] is not None:
            return self._end(number, Reason(row["end"]))
        if epoch < self._rules.epochs and self._pruned(entry, epoch):
            return self._end(number, Reason.PRUNED)
        return Decision()

    def end(self, number: int, reason: Reason) -> None:
        """End a trial between two epochs."""
        if number in self._open:
            self._end(number, reason)

    def stop(self, number: int) -> bool:
        """End a trial because the user says so, one that waits too; returns whether it was open or waited."""
        if number not in self._open:
            trial = claim(self._study, number)
            if trial is None:
                return False
            recorded = self._study._storage.get_trial(trial._trial_id).intermediate_values
            self._open[number] = _OpenTrial(trial, set(recorded), dict(recorded))
            self._recorder.opened(number, trial.params)
        self._end(number, Reason.STOPPED)
        return True

    def fail(self, number: int, message: str) -> None:
        """End a trial as FAIL with what went wrong (kept whole up to 8,000 characters, from the end)."""
        if number in self._open:
            self._open[number].trial.set_user_attr("error", message[-ERROR_CHARACTERS:])
            self._end(number, Reason.ERROR)

    def set_attribute(self, number: int, key: str, value: Any) -> None:
        """Keep a fact about an open trial as its user attribute."""
        if number in self._open:
            self._open[number].trial.set_user_attr(key, value)

    def interrupt(self) -> None:
        """Let every open trial wait to go on under its own number, one drawn ahead too."""
        if self._drawer is not None:
            self._drawer.shutdown()
            self._drawer = None
        if self._drawn is not None and not isinstance(self._drawn.exception(), AlgorithmFailed):
            # It runs from now on, and so is interrupted like the others.
            self.ask()
        for number, entry in sorted(self._open.items()):
            set_waiting(self._study, entry.trial._trial_id)
            self._recorder.closed(number, TrialState.WAITING, Reason.INTERRUPTED)
        self._open.clear()
        if self._undrawn:
            take_over(self._study)
            self._undrawn = False

    def _budget_left(self) -> bool:
        return self._budget.trials is None or self._counted + len(self._open) < self._budget.trials

    def _draw(self) -> _Draw | None:
        started = time.perf_counter()
        with warnings.catch_warnings():
            # TPE's `group` is marked experimental; the pinned version is tested here.
            warnings.simplefilter("ignore", ExperimentalWarning)
            try:
                with blamed("sampler", self._study.sampler):
                    trial = self._next()
                    if trial is None:
                        return None
                    values = self._space.suggest(trial, self._fixed)
            except AlgorithmFailed:
                self._undrawn = True
                raise
        return _Draw(trial, values, time.perf_counter() - started)

    def _next(self) -> optuna.Trial | None:
        if self._queue is None:
            return self._study.ask()
        if not self._queue:
            return None
        # Optuna's ask takes the first waiting trial, whichever that is.
        return claim(self._study, self._queue.popleft())

    def _keep_run_id(self, number: int, *, wait: bool) -> None:
        trial = self._open[number].trial
        if "mlflow_run_id" not in trial.user_attrs and (run_id := self._recorder.run_id(number, wait=wait)):
            trial.set_user_attr("mlflow_run_id", run_id)

    def _pruned(self, entry: _OpenTrial, epoch: int) -> bool:
        if not entry.values:
            return False
        # The pruner is asked about audited trials too: they belong to the comparison, and what it says is kept.
        with blamed("pruner", self._study.pruner):
            prune = entry.trial.should_prune()
        if not prune:
            return False
        if not entry.trial.user_attrs["audit"]:
            return True
        if "would_prune_at" not in entry.trial.user_attrs:
            entry.trial.set_user_attr("would_prune_at", epoch)
        return False

    def _end(self, number: int, reason: Reason) -> Decision:
        entry = self._open[number]
        state = END_STATES[reason]
        finite = {epoch: value for epoch, value in entry.values.items() if math.isfinite(value)}
        if state is TrialState.COMPLETE and not finite and entry.stand_in is not None:
            entry.trial.set_user_attr("unmeasured", True)
        elif state is TrialState.COMPLETE and not finite:
            state, reason = TrialState.FAIL, Reason.ERROR
            entry.trial.set_user_attr("error", "the trial ended without one finite value")
        best_epoch = min(finite, key=lambda epoch: (-finite[epoch], epoch), default=None)
        entry.trial.set_user_attr("reason", reason)
        entry.trial.set_user_attr("best_epoch", best_epoch)
        if reason in VIOLATIONS and not _constrained(entry.trial):
            entry.trial.set_constraint(reason, 1.0)
        # Optuna takes no attribute after the end.
        self._keep_run_id(number, wait=True)
        value = entry.stand_in if best_epoch is None else finite[best_epoch]
        failed = None
        try:
            with blamed("sampler", self._study.sampler):
                self._study.tell(entry.trial, value if state is TrialState.COMPLETE else None, state=state)
        except AlgorithmFailed as error:
            # Its word comes before Optuna writes the end, and does not hinder it.
            failed = error
        del self._open[number]
        self._counted += 1
        self._ends[reason] += 1
        self._recorder.closed(number, state, reason)
        self._listener.on_trial(number, reason, entry.trial.params)
        if failed is not None:
            raise failed
        return Decision(reason)


def take_over(study: optuna.Study) -> list[int]:
    """Let the trials that a dead driver left RUNNING wait to go on; returns their numbers."""
    left = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in left:
        set_waiting(study, trial._trial_id)
    return [trial.number for trial in left]


def claim(study: optuna.Study, number: int) -> optuna.Trial | None:
    """Set a waiting trial RUNNING and return it; None where it does not wait."""
    trial_id = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
    if study._storage.get_trial(trial_id).state is not TrialState.WAITING:
        return None
    # Another thread may have drawn it meanwhile.
    if not study._storage.set_trial_state_values(trial_id, TrialState.RUNNING):
        return None
    return optuna.Trial(study, trial_id)


def set_waiting(study: optuna.Study, trial_id: int) -> None:
    """RUNNING to WAITING with the reason `interrupted`; Optuna's ask hands such a trial out again as it was."""
    study._storage.set_trial_user_attr(trial_id, "reason", Reason.INTERRUPTED)
    study._storage.set_trial_state_values(trial_id, TrialState.WAITING)


def is_audited(seed: int, number: int, share: float) -> bool:
    """Whether trial `number` belongs to the random share that is never pruned; the same in every process."""
    digest = hashlib.sha256(f"audit:{seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def _constrained(trial: optuna.Trial) -> bool:
    return any(key.startswith("constraints") for key in trial.storage.get_trial_system_attrs(trial._trial_id))
