"""One run of a study's driver: Ray up, trials through the bridge, records closed, whatever ends it."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import optuna
from ray import tune

from search.bridge import ERROR_CHARACTERS, Bridge, Proposal
from search.budget import Budget
from search.ray_searcher import RayScheduler, RaySearcher, RaySession, RayStopper
from search.retrying import hurry
from search.space import Space
from search.states import VIOLATIONS, Reason
from studies.files.study_settings import StudySettings
from studies.running.ddp import RanksWorker, request_of
from studies.running.places import remote_folder
from studies.running.resources import Slots
from studies.running.worker import TrialWorker
from studies.upkeep.retention import Retention
from studies.workspace import Workspace

# A run whose first trials all fail has a fault that more trials will not mend; where all of them diverge or do not fit
# into memory, the space may still hold better ones.
HOPELESS_FAILURES = 5
HOPELESS_ENDS = 10
TEND_EVERY_S = 2.0
KEEP_TIME_EVERY_S = 30.0


@dataclass
class Run:
    """One run of the driver and why it ended before its budget, if it did."""

    interrupted: bool = False
    deadline: bool = False
    hopeless: bool = False

    @property
    def cut_short(self) -> bool:
        """Whether it ended before its budget."""
        return self.interrupted or self.deadline or self.hopeless


class DriverClock:
    """Seconds that drivers have spent on a study, kept in the study so that a budget of hours survives restarts."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._before_s = float(study.user_attrs.get("driver_s", 0.0))
        self._started = self._kept = time.monotonic()

    @property
    def spent_s(self) -> float:
        """Seconds of all drivers so far."""
        return self._before_s + time.monotonic() - self._started

    def keep(self, *, now: bool = False) -> None:
        """Write the time spent, every half minute or at once."""
        if now or time.monotonic() - self._kept > KEEP_TIME_EVERY_S:
            self._study.set_user_attr("driver_s", round(self.spent_s, 3))
            self._kept = time.monotonic()


def run_trials(
    study: optuna.Study,
    settings: StudySettings,
    space: Space,
    workspace: Workspace,
    bridge: Bridge,
    budget: Budget,
    slots: Slots,
    tend: Callable[[], bool],
    settings_of: Callable[[Proposal], dict[str, Any]] | None = None,
) -> Run:
    """Run trials until the budget is spent, a signal comes or the time is over; needs a started Ray.

    `settings_of` gives a proposal's nested trial settings; by default its values put over the study's fixed ones.
    `tend` is called every two seconds on the control loop and says whether to end in order. Open trials are left
    WAITING. Raises AlgorithmFailed where the sampler or the pruner raises, the traceback being kept with the study, and
    whatever Ray raises where the cluster itself fails.
    """
    clock = DriverClock(study)
    # NAME/confirm has settings of NAME and folders of its own.
    name = study.study_name
    ray_folder = workspace.study_folder(name) / "ray"
    fixed = settings.trial.model_dump(mode="json")

    def searched(proposal: Proposal) -> dict[str, Any]:
        return space.apply(fixed, proposal.values)

    def configure(proposal: Proposal) -> dict[str, Any]:
        folder = workspace.trial_folder(name, proposal.number)
        bridge.set_attribute(proposal.number, "folder", os.path.relpath(folder, workspace.root))
        remote = remote_folder(study, proposal.number, workspace)
        if remote is None:
            # A worker that does not find it is on a node that does not share the workspace.
            folder.mkdir(parents=True, exist_ok=True)
        return {
            "settings": (settings_of or searched)(proposal),
            "folder": str(folder),
            "cache": str(workspace.cache),
            "remote": remote,
            "threads": slots.threads,
            "memory_fraction": slots.memory_fraction,
            "ranks": slots.ranks,
            "sync_batch_norm": settings.resources.sync_batch_norm,
            "recorded": proposal.recorded,
        }

    run = Run()
    retention = Retention(study, workspace)
    tended = time.monotonic()

    def ends() -> bool:
        nonlocal tended
        if time.monotonic() - tended > TEND_EVERY_S:
            run.interrupted = tend() or run.interrupted
            retention.tidy()
            clock.keep()
            tended = time.monotonic()
        run.deadline = budget.hours is not None and clock.spent_s >= budget.hours * 3600
        run.hopeless = is_hopeless(bridge.ends)
        return run.cut_short

    with RaySession(name, bridge, configure, ends, settings.resources.retries) as session:
        try:
            with _signals(run, study):
                tune.run(
                    _worker(slots),
                    name="tune",
                    storage_path=str(ray_folder),
                    search_alg=RaySearcher(session),
                    scheduler=RayScheduler(session),
                    stop=RayStopper(session),
                    num_samples=-1,
                    max_concurrent_trials=slots.workers,
                    reuse_actors=slots.ranks == 1,
                    # The session counts what may be repeated: Ray would count a lost node as the trial's own death.
                    max_failures=-1,
                    raise_on_failed_trial=False,
                    trial_dirname_creator=_ray_folder,
                    verbose=0,
                )
        finally:
            bridge.interrupt()
            clock.keep(now=True)
            # A trial that was stopped between two epochs may have written once more.
            retention.tidy(whole=True)
            # Ray's own state of the run: nothing reads it again.
            shutil.rmtree(ray_folder, ignore_errors=True)
        if session.failed is not None:
            study.set_user_attr("error", session.failed.traceback[-ERROR_CHARACTERS:])
            raise session.failed
    return run


def _worker(slots: Slots) -> Any:
    """What runs a trial, with what it asks of Ray."""
    if slots.ranks == 1:
        return tune.with_resources(TrialWorker, slots.per_trial)
    return tune.with_resources(RanksWorker, request_of(slots.per_trial, slots.ranks))


def _ray_folder(trial: Any) -> str:
    """Name of Ray's own folder of a trial; by default it would hold the whole config."""
    return str(trial.trial_id)


def is_hopeless(ends: Mapping[Reason, int]) -> bool:
    """Whether all trials of a run failed (5 of them), or failed, diverged or did not fit (10)."""
    ended, failed = sum(ends.values()), ends.get(Reason.ERROR, 0)
    fruitless = failed + sum(ends.get(reason, 0) for reason in VIOLATIONS)
    return ended == failed >= HOPELESS_FAILURES or ended == fruitless >= HOPELESS_ENDS


@contextmanager
def _signals(run: Run, study: optuna.Study) -> Iterator[None]:
    """Ctrl-C or SIGTERM once: end in order. A second Ctrl-C: leave at once; resume still works."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if run.interrupted and number == signal.SIGINT:
            os._exit(130)
        run.interrupted = True
        hurry(study)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
