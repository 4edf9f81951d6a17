"""Confirmatory runs: chosen configurations trained whole with chosen seeds, apart from any search (NAME/confirm)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from search.bridge import Bridge, Proposal, Rules, take_over
from search.budget import Budget
from search.lease import open_lease
from search.records.mlflow_store import Family, RunLabel, check_tracking, confirm_family
from search.retrying import guard
from search.space import Space
from search.states import Reason
from search.storage import open_storage
from studies.files.study_settings import CONFIRM, StudySettings
from studies.running.driver import run_trials
from studies.running.facts import accepted_leak, check_same_data, gather_facts
from studies.running.launch import Outcome, outcome_of
from studies.running.places import keep_storage, with_checked_storage
from studies.running.ray_start import local_or_cluster, ray_nodes
from studies.running.recording import flatten, recording
from studies.running.resources import plan
from studies.running.shipped_code import import_paths
from studies.running.watcher import Watcher
from studies.stored import StudyError, confirm_study, counts, is_used, open_study
from studies.workspace import Workspace
from trainables.settings import TrialSettings

# Runs that ended as one of these are read; a failed one counts for nothing.
READ = (TrialState.COMPLETE, TrialState.PRUNED)
# NAME/confirm keeps the promotion record of run N as its attribute promotion/N: Optuna's ended trials take nothing.
PROMOTION = "promotion/"
KEPT_FACTS = ("metric", "images", "fingerprints", "pseudo_labels")


@dataclass(frozen=True)
class Confirmatory:
    """One run: its role (`row`, `fidelity`, ...), what it is of its role, its settings, and its seed.

    Two runs are the same where all four are; the seed replaces the settings' own.
    """

    role: str
    key: str
    settings: TrialSettings
    seed: int

    def attributes(self) -> dict[str, Any]:
        """What the run's Optuna trial keeps of it."""
        settings = self._seeded.model_dump(mode="json")
        # As any storage gives it back.
        return dict(
            json.loads(json.dumps({"role": self.role, "key": self.key, "seed": self.seed, "settings": settings}))
        )

    def is_of(self, attributes: Mapping[str, Any]) -> bool:
        """Whether a trial with these attributes is this run, also where settings of today were unknown to it."""
        mine = (self.role, self.key, self.seed)
        if (attributes.get("role"), attributes.get("key"), attributes.get("seed")) != mine:
            return False
        try:
            # A setting that came after the run has its default in both.
            return TrialSettings.model_validate_json(json.dumps(attributes["settings"])) == self._seeded
        except ValidationError:
            # Of a version whose settings are none any more: another run.
            return False

    @property
    def _seeded(self) -> TrialSettings:
        return self.settings.model_copy(update={"seed": self.seed})


def run_confirmatory(
    runs: Sequence[Confirmatory],
    settings: StudySettings,
    workspace: Workspace,
    address: str | None,
    watcher: Watcher,
    *,
    keep: Mapping[str, Any] | None = None,
    accept_leak: bool = False,
) -> Outcome:
    """Run what is not yet there of `runs`, interrupted ones from their last epochs; `keep` are attributes to set.

    Outcome's counts are of the runs that were missing. Raises ValueError for whatever the user can mend; near copies
    of validation images in training are such, unless they were accepted here, by an earlier call or at the launch of
    the search.
    """
    workspace.check_writable()
    settings = with_checked_storage(settings)
    name = settings.name
    check_tracking(workspace.tracking, name)
    facts = gather_facts(settings, workspace)
    own_facts = _facts_by_run(runs, settings, workspace)
    with open_lease(workspace.storage, name + CONFIRM) as lease:
        study = _open(settings, workspace, facts, accept_leak)
        guard(study, lease, watcher.say)
        for key, value in (keep or {}).items():
            study.set_user_attr(key, value)
        for number in take_over(study):
            watcher.say(f"run {number} was left running by a driver that died; it goes on from its last epoch")
        queue = _enqueue(study, runs, own_facts)
        if not queue:
            watcher.say("all of these runs are there already")
            # MLflow may lack some of them.
            with recording(study, settings, workspace, watcher.say, confirmatory_runs(study, name)):
                return Outcome(_counts(study, ()), interrupted=False, deadline=False, hopeless=False, error=None)
        travelling = import_paths([run.settings.model_dump(mode="json") for run in runs])
        with local_or_cluster(address, travelling, settings.hooks.secrets):
            return _run(study, queue, settings, workspace, watcher)


def find_run(study: optuna.Study, run: Confirmatory) -> FrozenTrial | None:
    """The trial of this run that is read: the last complete one, else the last that diverged or did not fit."""
    ended = [trial for trial in study.get_trials(deepcopy=False, states=READ) if run.is_of(trial.user_attrs)]
    return max(ended, key=lambda trial: (trial.state is TrialState.COMPLETE, trial.number), default=None)


def promotions(study: optuna.Study) -> dict[int, Mapping[str, Any]]:
    """The promotion records of confirmatory runs by number."""
    attributes = study.user_attrs
    return {int(key.removeprefix(PROMOTION)): attributes[key] for key in attributes if key.startswith(PROMOTION)}


def _facts_by_run(
    runs: Sequence[Confirmatory], settings: StudySettings, workspace: Workspace
) -> dict[tuple[str, str], dict[str, Any]]:
    """Facts of each role and key's data, which its settings may change; raises StudyError with all that is wrong."""
    facts: dict[tuple[str, str], dict[str, Any]] = {}
    wrong: list[str] = []
    for role, key, trial in {(run.role, run.key): (run.role, run.key, run.settings) for run in runs}.values():
        try:
            facts[role, key] = gather_facts(settings.model_copy(update={"trial": trial}), workspace)
        except ValueError as error:
            wrong.append(f"{role} {key}: {error}")
    if wrong:
        raise StudyError("\n".join(wrong))
    return facts


def _open(settings: StudySettings, workspace: Workspace, facts: dict[str, Any], accept_leak: bool) -> optuna.Study:
    name = settings.name
    search = open_study(name, workspace) if is_used(name, workspace) else None
    for other in (search, confirm_study(name, workspace)):
        if other is not None and "facts" in other.user_attrs:
            check_same_data(name, other.user_attrs["facts"], facts)
            accept_leak = accept_leak or "leak" in other.user_attrs["facts"]
    if leak := accepted_leak(settings, workspace, accept_leak):
        facts = {**facts, "leak": leak}
    storage = open_storage(workspace.storage, write=True)
    study = optuna.create_study(
        study_name=name + CONFIRM,
        storage=storage,
        sampler=RandomSampler(),
        pruner=NopPruner(),
        direction="maximize",
        load_if_exists=True,
    )
    study.set_user_attr("metric", facts["metric"])
    study.set_user_attr("facts", facts)
    keep_storage(study, settings.resources.storage)
    return study


def _enqueue(
    study: optuna.Study, runs: Sequence[Confirmatory], facts: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[int]:
    """Numbers of the trials to run, in the order asked; those that do not wait yet are added.

    Raises StudyError where data of a run that is there, or waits to go on, have changed.
    """
    trials = study.get_trials(deepcopy=False)
    numbers, new = [], []
    for run in runs:
        own = facts[run.role, run.key]
        same = [trial for trial in trials if run.is_of(trial.user_attrs)]
        for trial in same:
            if "facts" in trial.user_attrs:
                check_same_data(study.study_name, trial.user_attrs["facts"], own)
        if any(_stands(trial) for trial in same):
            continue
        waiting = [trial.number for trial in same if trial.state is TrialState.WAITING]
        if not waiting:
            new.append({**run.attributes(), "facts": {key: own[key] for key in KEPT_FACTS}})
            waiting = [len(trials) + len(new) - 1]
        numbers.append(waiting[0])
    for attributes in new:
        study.enqueue_trial({}, user_attrs=attributes)
    return numbers


def _stands(trial: FrozenTrial) -> bool:
    """Whether a run is not run again: one that did not fit may fit elsewhere, one that diverged will again."""
    return trial.state is TrialState.COMPLETE or trial.user_attrs.get("reason") == Reason.DIVERGED


def _run(
    study: optuna.Study, queue: Sequence[int], settings: StudySettings, workspace: Workspace, watcher: Watcher
) -> Outcome:
    own = {trial.number: trial.user_attrs for trial in study.get_trials(deepcopy=False) if trial.number in set(queue)}
    named = _Named(watcher, own)
    watcher.begin(len(queue), dict.fromkeys(counts(study), 0), None)
    slots = plan(settings.resources, ray_nodes())
    budget = Budget(None, None)
    space = Space(())
    with recording(study, settings, workspace, watcher.say, confirmatory_runs(study, settings.name)) as recorder:
        bridge = Bridge(
            study,
            space,
            {},
            rules=Rules(max(attributes["settings"]["epochs"] for attributes in own.values())),
            budget=budget,
            recorder=recorder,
            listener=named,
            queue=queue,
        )

        def settings_of(proposal: Proposal) -> dict[str, Any]:
            return dict(own[proposal.number]["settings"])

        run = run_trials(study, settings, space, workspace, bridge, budget, slots, lambda: False, settings_of)
    return outcome_of(study, run, bridge, _counts(study, queue))


def _counts(study: optuna.Study, queue: Sequence[int]) -> dict[str, int]:
    found = dict.fromkeys(counts(study), 0)
    for trial in study.get_trials(deepcopy=False):
        if trial.number in set(queue):
            found[trial.state.name] += 1
    return found


def confirmatory_runs(study: optuna.Study, name: str) -> Family:
    """How the runs of NAME/confirm are called in MLflow."""
    # Optuna is read here, not on the recorder's thread.
    labels = {trial.number: _label(trial.user_attrs) for trial in study.get_trials(deepcopy=False)}
    return confirm_family(name, labels.__getitem__)


def _label(attributes: Mapping[str, Any]) -> RunLabel:
    role, key, seed = attributes["role"], attributes["key"], str(attributes["seed"])
    tags = {"contourney.role": role, "contourney.key": key, "contourney.seed": seed}
    return RunLabel(f"{role} {key}, seed {seed}", tags, flatten(attributes["settings"]))


class _Named:
    """Tells a watcher which row and seed a trial is, in the place of searched values."""

    def __init__(self, watcher: Watcher, attributes: Mapping[int, Mapping[str, Any]]) -> None:
        self._watcher = watcher
        self._attributes = attributes

    def on_trial(self, number: int, reason: Reason | None, values: Mapping[str, Any]) -> None:
        one = self._attributes[number]
        self._watcher.on_trial(number, reason, {one["role"]: one["key"], "seed": one["seed"]})

    def on_epoch(self, number: int, epoch: int, value: float | None) -> None:
        self._watcher.on_epoch(number, epoch, value)
