"""Ray Tune's searcher, scheduler and stopper over one bridge: what Ray asks and reports, the bridge decides."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.blame import AlgorithmFailed
from search.bridge import Bridge, Proposal
from search.states import Reason

# Ray's words for an actor that was lost with its node: it knows of the node's death at once, or it cannot reach the
# actor any more. Of a process that dies on a node that lives it knows within the second that it waits for the cause.
NODE_LOST = ("its node has died", "is temporarily unavailable")
# A trial that takes its nodes with it, as one that eats their memory, must not take all of them.
NODES_LOST_AT_MOST = 10

# Ray copies and pickles searchers, schedulers and stoppers; a storage with locks and threads cannot follow. A copy
# finds its session again here.
_SESSIONS: dict[str, "RaySession"] = {}


class RaySession:
    """One run of Tune over a bridge: which Ray trial is which of ours, and how a proposal becomes a Ray config.

    A trial whose worker process dies goes on in another one `retries` times; a lost node is no fault of the trials on
    it and counts for nothing, unless it happens too often.

    `configure` gives a proposal's job for the worker. The worker answers each step with a message: a `row`, `failed`
    with a traceback, or `ended` with a reason, and perhaps `attributes` of the trial. Both travel as JSON text, since
    Ray flattens and interprets nested values. `ends` is asked at every turn of Tune's loop whether the search ends
    here. Use it in a `with` statement.
    """

    def __init__(
        self,
        name: str,
        bridge: Bridge,
        configure: Callable[[Proposal], dict[str, Any]],
        ends: Callable[[], bool],
        retries: int,
    ) -> None:
        self.name = name
        self.bridge = bridge
        self.configure = configure
        self.ends = ends
        self.numbers: dict[str, int] = {}
        # Ray's trials that go on no more, with why.
        self.given_up: dict[str, str] = {}
        self._retries = retries
        self._deaths: Counter[str] = Counter()
        self._nodes_lost: Counter[str] = Counter()
        # Set when the search must end: nothing more is asked and what still comes in is left for the next run.
        self.stopping = False
        # Why, where the sampler or the pruner raised: Tune would hide it in an error of its own.
        self.failed: AlgorithmFailed | None = None

    def __enter__(self) -> "RaySession":
        _SESSIONS[self.name] = self
        return self

    def __exit__(self, *_: object) -> None:
        del _SESSIONS[self.name]

    def count_death(self, ray_trial: str, told: str) -> None:
        """Count the death of a trial's worker, which Ray told in these words."""
        if any(words in told for words in NODE_LOST):
            self._nodes_lost[ray_trial] += 1
        else:
            self._deaths[ray_trial] += 1
        if self._deaths[ray_trial] > self._retries:
            self.given_up[ray_trial] = (
                "the worker process died more often than `resources.retries` allows: it was killed from outside, ran "
                f"out of memory, or crashed in native code; see Ray's logs. Ray says of the last death: {told}"
            )
        elif self._nodes_lost[ray_trial] > NODES_LOST_AT_MOST:
            self.given_up[ray_trial] = f"{NODES_LOST_AT_MOST + 1} nodes were lost while this trial ran on them; {told}"

    def ask(self) -> Proposal | None:
        """The next trial, None where there is none or the search ends."""
        try:
            return None if self.stopping else self.bridge.ask()
        except AlgorithmFailed as error:
            self._end_for(error)
            return None

    def take(self, ray_trial: str, message: Mapping[str, Any]) -> str:
        """Give one message to the bridge; returns Tune's CONTINUE or STOP."""
        try:
            return self._give(ray_trial, message)
        except AlgorithmFailed as error:
            self._end_for(error)
            return str(TrialScheduler.STOP)

    def close_dead(self, ray_trial: str) -> None:
        """Fail a trial that is given up."""
        try:
            self.bridge.fail(self.numbers[ray_trial], self.given_up[ray_trial])
        except AlgorithmFailed as error:
            self._end_for(error)

    def _end_for(self, error: AlgorithmFailed) -> None:
        self.failed = error
        self.stopping = True
        self.bridge.interrupt()

    def _give(self, ray_trial: str, message: Mapping[str, Any]) -> str:
        number = self.numbers[ray_trial]
        for key, value in message.get("attributes", {}).items():
            self.bridge.set_attribute(number, key, value)
        if "failed" in message:
            self.bridge.fail(number, message["failed"])
            return str(TrialScheduler.STOP)
        if "ended" in message:
            self.bridge.end(number, Reason(message["ended"]))
            return str(TrialScheduler.STOP)
        decision = self.bridge.report(number, message["row"])
        return str(TrialScheduler.STOP if decision.stop else TrialScheduler.CONTINUE)


class RaySearcher(Searcher):  # type: ignore[misc]  # Ray's classes are untyped
    """Asks the bridge for trials."""

    def __init__(self, session: RaySession) -> None:
        super().__init__()
        self._session = session

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (RaySearcher, self._session.name)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The config of the next trial, None while it is drawn, or FINISHED when the budget is in hand."""
        bridge = self._session.bridge
        # With no trial running there is nothing else to listen to, and Ray would sleep for a second.
        if bridge.drawing and bridge.open_trials and not self._session.stopping:
            return None
        proposal = self._session.ask()
        if proposal is None:
            return str(Searcher.FINISHED)
        self._session.numbers[trial_id] = proposal.number
        return {"job": json.dumps(self._session.configure(proposal))}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Close a trial whose worker died for the last time."""
        if trial_id in self._session.given_up and not self._session.stopping:
            self._session.close_dead(trial_id)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: Optuna's storage is the state."""


class RayScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray's classes are untyped
    """Gives every result to the bridge and stops what it says."""

    def __init__(self, session: RaySession) -> None:
        super().__init__()
        self._session = session

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (RayScheduler, self._session.name)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide after an epoch."""
        if self._session.stopping:
            return str(TrialScheduler.STOP)
        return self._session.take(trial.trial_id, json.loads(result["message"]))

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Count a death; Ray puts the trial back among those that wait for a worker."""
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace") if trial.error_file else ""
        self._session.count_death(trial.trial_id, text.rpartition("Failure #")[2].partition("\n")[2].strip())

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The first trial that waits for a worker, none that is given up."""
        for trial in tune_controller.get_trials():
            if trial.trial_id in self._session.given_up and trial.status == trial.PENDING:
                tune_controller.stop_trial(trial)
        return super().choose_trial_to_run(tune_controller)


class RayStopper(Stopper):  # type: ignore[misc]  # Ray's classes are untyped
    """Ends the whole search when the session says so; single trials are ended by the scheduler."""

    def __init__(self, session: RaySession) -> None:
        self._session = session

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (RayStopper, self._session.name)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never: the scheduler decides about trials."""
        return False

    def stop_all(self) -> bool:
        """Whether the search ends here; then the records are closed at once, before Ray ends its workers.

        Ray gives a worker in the middle of an epoch ten seconds and more, a grace period may have thirty.
        """
        if not self._session.stopping and self._session.ends():
            self._session.stopping = True
            self._session.bridge.interrupt()
        return self._session.stopping


def _again(adapter: type[Any], name: str) -> Any:
    return adapter(_SESSIONS[name])
