"""Confirmatory runs: chosen configurations trained whole with chosen seeds, apart from any search (NAME/confirm)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import ray
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from search.bridge import Bridge, Proposal, take_over
from search.budget import Budget
from search.lease import open_lease
from search.records.mlflow_store import Family, RunLabel, check_tracking, confirm_family
from search.space import Space
from search.states import Reason
from search.storage import open_storage
from studies.driver import Watcher, local_or_cluster, run_trials
from studies.facts import accepted_leak, check_same_data, gather_facts
from studies.launch import Outcome
from studies.recording import flatten, recording
from studies.resources import plan
from studies.stored import confirm_study, counts, is_used, open_study
from studies.study_settings import CONFIRM, StudySettings
from studies.workspace import Workspace
from trainables.settings import TrialSettings

# A run that ended as one of these stands; a failed one is run again when it is asked for again.
STANDING = (TrialState.COMPLETE, TrialState.PRUNED)


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
        settings = self.settings.model_copy(update={"seed": self.seed}).model_dump(mode="json")
        # As any storage gives it back.
        return dict(
            json.loads(json.dumps({"role": self.role, "key": self.key, "seed": self.seed, "settings": settings}))
        )


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

    Raises ValueError for whatever the user can mend; near copies of validation images in training are such, unless
    they were accepted here, by an earlier call or at the launch of the search.
    """
    workspace.check_writable()
    name = settings.name
    check_tracking(workspace.tracking, name)
    facts = gather_facts(settings, workspace)
    with open_lease(workspace.storage, name + CONFIRM):
        study = _open(settings, workspace, facts, accept_leak)
        for key, value in (keep or {}).items():
            study.set_user_attr(key, value)
        for number in take_over(study):
            watcher.say(f"run {number} was left running by a driver that died; it goes on from its last epoch")
        queue = _enqueue(study, runs)
        if not queue:
            watcher.say("all of these runs are there already")
            return Outcome(counts(study), interrupted=False, deadline=False, hopeless=False, error=None)
        with local_or_cluster(address):
            return _run(study, queue, settings, workspace, watcher)


def ended_runs(study: optuna.Study, role: str) -> list[FrozenTrial]:
    """The runs of a role that stand, by number; a later one of the same key, seed and settings does not exist."""
    return [trial for trial in study.get_trials(deepcopy=False, states=STANDING) if trial.user_attrs["role"] == role]


def find_run(study: optuna.Study, run: Confirmatory) -> FrozenTrial | None:
    """The trial of this run that stands; None where there is none yet."""
    wanted = run.attributes()
    return next((trial for trial in ended_runs(study, run.role) if _is(trial, wanted)), None)


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
    return study


def _enqueue(study: optuna.Study, runs: Sequence[Confirmatory]) -> list[int]:
    """Numbers of the trials to run, in the order asked; those that do not wait yet are added."""
    trials = study.get_trials(deepcopy=False)
    numbers = []
    added = len(trials)
    for run in runs:
        wanted = run.attributes()
        same = [trial for trial in trials if _is(trial, wanted)]
        if any(trial.state in STANDING for trial in same):
            continue
        waiting = [trial.number for trial in same if trial.state is TrialState.WAITING]
        if not waiting:
            study.enqueue_trial({}, user_attrs=wanted)
            waiting = [added]
            added += 1
        numbers.append(waiting[0])
    return numbers


def _is(trial: FrozenTrial, wanted: Mapping[str, Any]) -> bool:
    return all(trial.user_attrs.get(key) == value for key, value in wanted.items())


def _run(
    study: optuna.Study, queue: Sequence[int], settings: StudySettings, workspace: Workspace, watcher: Watcher
) -> Outcome:
    own = {trial.number: trial.user_attrs for trial in study.get_trials(deepcopy=False) if trial.number in set(queue)}
    named = _Named(watcher, own)
    watcher.begin(len(queue), dict.fromkeys(counts(study), 0), None)
    slots = plan(settings.resources, ray.cluster_resources())
    budget = Budget(None, None)
    space = Space(())
    with recording(study, settings, workspace, watcher.say, _family(study, settings.name)) as recorder:
        bridge = Bridge(
            study,
            space,
            {},
            epochs=max(attributes["settings"]["epochs"] for attributes in own.values()),
            budget=budget,
            audit=0.0,
            seed=0,
            recorder=recorder,
            listener=named,
            queue=queue,
        )

        def settings_of(proposal: Proposal) -> dict[str, Any]:
            return dict(own[proposal.number]["settings"])

        run = run_trials(study, settings, space, workspace, bridge, budget, slots, lambda: None, settings_of)
    failed = [trial for trial in study.get_trials(deepcopy=False) if trial.state is TrialState.FAIL]
    return Outcome(
        counts=_counts(study, queue),
        interrupted=run.interrupted,
        deadline=False,
        hopeless=run.hopeless or bridge.counted == bridge.failed > 0,
        error=failed[-1].user_attrs.get("error") if failed else None,
    )


def _counts(study: optuna.Study, queue: Sequence[int]) -> dict[str, int]:
    found = dict.fromkeys(counts(study), 0)
    for trial in study.get_trials(deepcopy=False):
        if trial.number in set(queue):
            found[trial.state.name] += 1
    return found


def _family(study: optuna.Study, name: str) -> Family:
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
