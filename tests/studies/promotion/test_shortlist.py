"""Who is a finalist, and which runs that makes."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.states import Reason
from studies.files.study_settings import StudySettings
from studies.promotion.replicates import promotion_runs
from studies.promotion.shortlist import shortlist
from tests.studies.prepared import settings as prepared_settings

LR = FloatDistribution(1e-4, 1e-2, log=True)


def trials(*described: tuple[TrialState, list[float], Reason]) -> list[FrozenTrial]:
    """Trials of these states, values by epoch and reasons."""
    study = optuna.create_study(direction="maximize")
    for index, (state, values, reason) in enumerate(described):
        study.add_trial(
            create_trial(
                state=state,
                value=max(values) if state is TrialState.COMPLETE else None,
                params={"optimizer.lr": 1e-3 * (index + 1)},
                distributions={"optimizer.lr": LR},
                intermediate_values=dict(enumerate(values, 1)),
                user_attrs={"reason": reason},
            )
        )
    return study.get_trials()


FOUND = trials(
    (TrialState.COMPLETE, [0.1, 0.4, 0.3], Reason.FINISHED),
    (TrialState.PRUNED, [0.6], Reason.PRUNED),
    (TrialState.PRUNED, [0.2, 0.3], Reason.PRUNED),
    (TrialState.COMPLETE, [0.5, 0.5, 0.5], Reason.EARLY_STOPPED),
    (TrialState.PRUNED, [0.9, 0.9, 0.9], Reason.DIVERGED),
    (TrialState.PRUNED, [0.2, 0.4], Reason.STOPPED),
    (TrialState.FAIL, [0.9], Reason.ERROR),
    (TrialState.PRUNED, [], Reason.OUT_OF_MEMORY),
)


@pytest.mark.parametrize(("count", "numbers"), [(1, [3]), (2, [3, 0]), (4, [3, 0, 5, 2]), (9, [3, 0, 5, 2, 1])])
def test_complete_ones_by_value_then_pruned_ones_by_how_far_they_came(count: int, numbers: list[int]) -> None:
    found = shortlist(FOUND, count)
    assert [one.number for one in found] == numbers
    assert [one.value for one in found][:2] == [0.5, 0.4][:count]
    assert all(one.value is None for one in found[2:])


def test_equal_values_are_in_the_order_of_their_numbers() -> None:
    twice = trials(*[(TrialState.COMPLETE, [0.5], Reason.FINISHED)] * 3)
    assert [one.number for one in shortlist(twice, 2)] == [0, 1]


def test_runs_have_other_seeds_the_same_split_and_pruned_ones_are_trained_to_the_end_first() -> None:
    settings: StudySettings = prepared_settings(**{"trial.seed": 7, "promotion": "{finalists: 3, seeds: 2}"})
    runs = promotion_runs(shortlist(FOUND, 3), settings)
    assert [(run.role, run.key, run.seed) for run in runs] == [
        ("finish", "trial 5", 7),
        ("replicate", "trial 3", 8),
        ("replicate", "trial 0", 8),
        ("replicate", "trial 5", 8),
        ("replicate", "trial 3", 9),
        ("replicate", "trial 0", 9),
        ("replicate", "trial 5", 9),
    ]
    assert runs[1].settings.optimizer.lr == 4e-3
    assert {run.settings.data.split_seed for run in runs} == {settings.trial.data.split_seed}
    assert {run.attributes()["settings"]["seed"] for run in runs} == {7, 8, 9}
