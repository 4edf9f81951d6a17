"""A study ready to be searched: its sampler, pruner, records and bridge, whoever runs the trials."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import optuna

from search.bridge import Bridge, Rules, take_over
from search.budget import Budget
from search.first_trials import enqueue_first
from search.pruners import Horizon
from search.samplers import count_opening
from search.space import Space
from studies.files.algorithms import study_pruner, study_sampler
from studies.files.space_checks import study_space
from studies.files.study_settings import StudySettings
from studies.results import best_trial, value_of
from studies.running.recording import recording
from studies.running.watcher import Watcher
from studies.stored import counts
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

    Trials that a dead driver left RUNNING wait to go on, and the study's first trials are there. `ahead` as in the
    bridge's Rules.
    """
    enqueue_first(study)
    search, space = settings.search, study_space(settings)
    asked, opened = len(study.get_trials(deepcopy=False)), count_opening(study)
    study.sampler = study_sampler(search, space.distributions, asked=asked, opened=opened)
    study.pruner = study_pruner(search, horizon(settings, space))
    if study.user_attrs.get("error") is not None:
        # What ended the last driver.
        study.set_user_attr("error", None)
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
