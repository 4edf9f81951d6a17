"""Launching and resuming a study."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from search.bridge import Bridge
from search.budget import Budget
from search.first_trials import keep_first
from search.lease import open_lease
from search.records.mlflow_store import check_tracking
from search.retrying import guard
from search.samplers import grid_size
from search.states import VIOLATIONS, Reason
from search.storage import open_storage
from studies.files.space_checks import study_space
from studies.files.study_settings import StudySettings
from studies.files.whole_paths import absolute
from studies.running.announcing import announcing
from studies.running.driver import Run, run_trials
from studies.running.facts import absent_classes, accepted_leak, check_same_data, gather_facts
from studies.running.places import keep_storage, with_checked_storage
from studies.running.ray_address import check_address
from studies.running.ray_start import local_or_cluster, ray_nodes
from studies.running.resources import plan
from studies.running.searching import searching
from studies.running.shipped_code import import_paths
from studies.running.warm_start import first_trials
from studies.running.watcher import Watcher
from studies.stored import StudyError, counts, is_used, load_settings, open_study, save_settings, trials_left
from studies.upkeep.requesting import Requests, void_stops
from studies.workspace import Workspace


@dataclass(frozen=True)
class Outcome:
    """How a run ended: trials by state, and whether a signal, the deadline or hopeless failures ended it."""

    counts: Mapping[str, int]
    interrupted: bool
    deadline: bool
    hopeless: bool
    error: str | None

    @property
    def why(self) -> str:
        """Why the run ended, in one word."""
        cut = {"hopeless": self.hopeless, "interrupted": self.interrupted, "deadline": self.deadline}
        return next((word for word, holds in cut.items() if holds), "budget")


def launch(
    settings: StudySettings, workspace: Workspace, address: str | None, watcher: Watcher, *, accept_leak: bool = False
) -> Outcome:
    """Create the study and run it; raises ValueError for whatever the user can mend, with nothing half-made.

    Near copies of validation images in training are such, unless `accept_leak` says that reports may tell of them.
    """
    if not settings.space:
        raise StudyError(
            f"study {settings.name!r} searches nothing: its space is empty; give it a path, such as optimizer.lr, or "
            "run its rows with `contourney rows`"
        )
    # Before data is prepared, which can take long.
    check_address(address)
    workspace.check_writable()
    settings = with_checked_storage(absolute(_within_grid(settings)))
    if is_used(settings.name, workspace):
        raise StudyError(
            f"study {settings.name!r} exists in {workspace.storage_shown}; go on with `contourney resume`, raise its "
            "budget with `contourney extend`, or launch under another name with --name"
        )
    first = first_trials(settings, workspace)
    facts = gather_facts(settings, workspace)
    check_tracking(workspace.tracking, settings.name)
    for line in first.lines:
        watcher.say(line)
    if leak := accepted_leak(settings, workspace, accept_leak):
        facts["leak"] = leak
        watcher.say(
            f"{leak['images']} of {leak['of']} validation images have a near copy in training: accepted, and told"
        )
    if absent := absent_classes(facts):
        watcher.say(f"no training pixel of {', '.join(absent)}: these classes cannot be learned from this split")
    with local_or_cluster(address, import_paths(settings.resolved()), settings.hooks.secrets):
        plan(settings.resources, ray_nodes())
        storage = open_storage(workspace.storage, write=True)
        with open_lease(workspace.storage, settings.name) as lease:
            study = optuna.create_study(
                study_name=settings.name, storage=storage, direction="maximize", load_if_exists=True
            )
            guard(study, lease, watcher.say)
            with warnings.catch_warnings():
                # Marked experimental; the pinned version is tested here.
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names([facts["metric"]])
            study.set_user_attr("metric", facts["metric"])
            study.set_user_attr("facts", facts)
            keep_storage(study, settings.resources.storage)
            keep_first(study, first.trials)
            # Last: a study without settings was never launched, and its name is free (see is_used).
            save_settings(study, settings)
            return _run(study, settings, workspace, watcher)


def resume(name: str, workspace: Workspace, address: str | None, watcher: Watcher) -> Outcome:
    """Go on with a study: its waiting and left-over trials first, then the rest of its budget."""
    settings = load_settings(name, workspace)
    check_address(address)
    check_tracking(workspace.tracking, name)
    facts = gather_facts(settings, workspace)
    with open_lease(workspace.storage, name) as lease:
        study = open_study(name, workspace, write=True)
        guard(study, lease, watcher.say)
        void_stops(study)
        # What was asked of the study while nobody held it.
        settings = load_settings(name, workspace)
        check_same_data(name, study.user_attrs["facts"], facts)
        if not trials_left(study):
            watcher.say(f"study {name!r} has spent its budget; `contourney extend` raises it")
        with local_or_cluster(address, import_paths(settings.resolved()), settings.hooks.secrets):
            return _run(study, settings, workspace, watcher)


def _run(study: optuna.Study, settings: StudySettings, workspace: Workspace, watcher: Watcher) -> Outcome:
    with announcing(study, settings, watcher) as announcer:
        outcome = _search(study, settings, workspace, announcer)
        announcer.ended(outcome.why, outcome.error if outcome.hopeless else None)
    return outcome


def _search(study: optuna.Study, settings: StudySettings, workspace: Workspace, watcher: Watcher) -> Outcome:
    space = study_space(settings)
    budget = Budget(settings.search.trials, settings.search.hours)
    requests = Requests(study, settings, budget)
    requests.take()
    slots = plan(settings.resources, ray_nodes())
    with searching(study, settings, workspace, budget, watcher, ahead=slots.workers > 1) as bridge:
        requests.bridge = bridge
        while True:
            run = run_trials(study, settings, space, workspace, bridge, budget, slots, requests.take)
            run.interrupted = requests.take() or run.interrupted
            # A budget raised when the last trials were already under way needs another round.
            if run.cut_short or budget.trials is None or bridge.counted >= budget.trials:
                break
    return outcome_of(study, run, bridge, counts(study))


def outcome_of(study: optuna.Study, run: Run, bridge: Bridge, ended: Mapping[str, int]) -> Outcome:
    """How a run ended; `ended` are the trials by state that it tells of."""
    failed = [trial for trial in study.get_trials(deepcopy=False) if trial.state is TrialState.FAIL]
    ends = bridge.ends
    why = ", ".join(f"{ends[reason]} {reason.replace('_', ' ')}" for reason in sorted(VIOLATIONS) if reason in ends)
    return Outcome(
        counts=ended,
        interrupted=run.interrupted,
        deadline=run.deadline,
        hopeless=run.hopeless or sum(ends.values()) == ends.get(Reason.ERROR, 0) > 0,
        error=failed[-1].user_attrs.get("error") if failed else why or None,
    )


def _within_grid(settings: StudySettings) -> StudySettings:
    """The settings with a budget of no more trials than the grid has points, where there is a grid."""
    if settings.search.sampler.name != "grid":
        return settings
    size = grid_size(study_space(settings).distributions)
    trials = size if settings.search.trials is None else min(settings.search.trials, size)
    return settings.model_copy(update={"search": settings.search.model_copy(update={"trials": trials})})
