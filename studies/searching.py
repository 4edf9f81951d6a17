"""A study ready to be searched: its sampler, pruner, records and bridge, whoever runs the trials."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import optuna

from search.bridge import Bridge, Rules, take_over
from search.budget import Budget
from search.pruners import Horizon, build_pruner
from search.samplers import build_sampler, count_opening
from search.space import Space
from studies.recording import recording
from studies.results import best_trial, value_of
from studies.space_checks import study_space
from studies.stored import counts
from studies.study_settings import StudySettings
from studies.watcher import Watcher
from studies.workspace import Workspace


@contextmanager
def searching(
    study: optuna.Study,
    settings: StudySettings,
    workspace: Workspace,
    budget: Budget,
    watcher: Watcher,
    *,
    ahead: bool = False,
) -> Iterator[Bridge]:
    """The bridge of a study whose lease is held; MLflow is brought up to date first and completed at the end.

    Trials that a dead driver left RUNNING wait to go on. `ahead` as in the bridge's Rules.
    """
    search, space = settings.search, study_space(settings)
    study.sampler = build_sampler(
        search.sampler.name,
        search.sampler.arguments,
        seed=search.seed,
        asked=len(study.get_trials(deepcopy=False)),
        opened=count_opening(study),
        distributions=space.distributions,
    )
    study.pruner = build_pruner(search.pruner.name, search.pruner.arguments, horizon(settings, space))
    for number in take_over(study):
        watcher.say(f"trial {number} was left running by a driver that died; it goes on from its last epoch")
    best = best_trial(study)
    watcher.begin(
        budget.trials,
        counts(study),
        None if best is None else (value_of(best), best.number, best.user_attrs["best_epoch"]),
    )
    with recording(study, settings, workspace, watcher.say) as recorder:
        yield Bridge(
            study,
            space,
            settings.trial.model_dump(mode="json"),
            rules=Rules(settings.trial.epochs, search.audit, search.seed, ahead),
            budget=budget,
            recorder=recorder,
            listener=watcher,
        )


def horizon(settings: StudySettings, space: Space) -> Horizon:
    """What the pruner must know: epochs, and the longest warm-up that the space allows."""
    distribution = space.distributions.get("schedule.warmup_epochs")
    searched = list(getattr(distribution, "choices", [])) or [getattr(distribution, "high", 0.0)]
    longest = max([settings.trial.schedule.warmup_epochs, *searched])
    return Horizon(settings.trial.epochs, math.ceil(longest))
