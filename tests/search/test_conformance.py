"""One suite that every sampler and every pruner passes, on tabulated curves."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.bridge import take_over
from search.pruners import PRUNERS, Horizon, build_pruner, pruner_arguments
from search.samplers import SAMPLERS, build_sampler, sampler_arguments
from search.storage import open_storage
from tests.search.tabulated import EPOCHS, Records, open_bridge, run_side_by_side, value_at

ARGUMENTS = {"threshold": {"lower": 0.3}, "patient": {"patience": 1}}


def reload(journal: Path) -> optuna.Study:
    """The study as the next driver finds it."""
    return optuna.load_study(study_name="s", storage=open_storage(str(journal), write=True))


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_sampler_spends_exactly_its_budget(name: str, study: optuna.Study) -> None:
    trials = 9 if name == "grid" else 24
    run_side_by_side(open_bridge(study, sampler=name, trials=trials))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * trials


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_resumed_sampler_does_not_repeat_its_proposals(name: str, study: optuna.Study, journal: Path) -> None:
    trials = 9 if name == "grid" else 18
    for part in range(1, 4):
        run_side_by_side(open_bridge(reload(journal), sampler=name, trials=part * trials // 3))
    seen = [tuple(sorted(trial.params.items())) for trial in study.trials]
    assert len(seen) == trials
    assert len(set(seen)) == trials


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_crash_before_the_first_values_repeats_no_proposal(name: str, study: optuna.Study, journal: Path) -> None:
    # A driver dies right after Optuna made the trial, the next one right after it has drawn the trial's values.
    study.ask()
    take_over(study)
    drawn = open_bridge(reload(journal), sampler=name).ask()
    assert drawn is not None
    take_over(reload(journal))
    last = open_bridge(reload(journal), sampler=name)
    again, new = last.ask(), last.ask()
    assert again is not None
    assert new is not None
    assert again.values == drawn.values
    assert new.values != drawn.values


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"grid"}))
def test_a_sampler_is_a_function_of_its_seed(name: str, tmp_path: Path) -> None:
    def proposals(seed: int, file: str) -> list[dict[str, object]]:
        storage = open_storage(str(tmp_path / file), write=True)
        fresh = optuna.create_study(storage=storage, direction="maximize")
        run_side_by_side(open_bridge(fresh, sampler=name, trials=12, seed=seed), workers=1)
        return [trial.params for trial in fresh.trials]

    first = proposals(1, "a")
    assert first == proposals(1, "b")
    assert first != proposals(2, "c")


def test_the_grid_visits_every_point_once_and_ends(study: optuna.Study) -> None:
    run_side_by_side(open_bridge(study, sampler="grid", trials=9))
    assert {(trial.params["lr"], trial.params["depth"]) for trial in study.trials} == {
        (lr, depth) for lr in (1e-4, 1e-3, 1e-2) for depth in ("head", "decoder", "all")
    }


@pytest.mark.parametrize("name", sorted(PRUNERS))
def test_a_pruner_leaves_one_record_per_epoch_and_no_open_trial(name: str, study: optuna.Study) -> None:
    records = Records()
    arguments = ARGUMENTS.get(name)
    run_side_by_side(open_bridge(study, pruner=name, pruner_arguments=arguments, trials=40, records=records))
    assert len(study.trials) == 40
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in study.trials:
        epochs = list(trial.intermediate_values)
        assert epochs == list(range(1, len(epochs) + 1))
        if trial.state is TrialState.COMPLETE:
            assert len(epochs) == EPOCHS
            assert trial.value == max(trial.intermediate_values.values())
        else:
            assert len(epochs) < EPOCHS
            assert trial.value == trial.intermediate_values[len(epochs)]
    told = [event[1:3] for event in records.events if event[0] == "epoch"]
    assert len(told) == len(set(told)) == sum(len(trial.intermediate_values) for trial in study.trials)


@pytest.mark.parametrize("name", sorted(set(PRUNERS) - {"none", "patient"}))
def test_a_pruner_stops_weak_trials_and_keeps_the_best(name: str, study: optuna.Study) -> None:
    run_side_by_side(open_bridge(study, pruner=name, pruner_arguments=ARGUMENTS.get(name), trials=40))
    last = {trial.number: value_at(trial.params, EPOCHS) for trial in study.trials}
    pruned = [last[trial.number] for trial in study.trials if trial.state is TrialState.PRUNED]
    kept = [last[trial.number] for trial in study.trials if trial.state is TrialState.COMPLETE]
    assert pruned
    assert sum(pruned) / len(pruned) < sum(kept) / len(kept)
    assert max(last.values()) == max(kept)


def test_no_trial_is_pruned_before_the_third_epoch_by_default(study: optuna.Study) -> None:
    run_side_by_side(open_bridge(study, pruner="successive_halving", trials=40))
    assert min(len(t.intermediate_values) for t in study.trials if t.state is TrialState.PRUNED) == 3


def test_the_first_rung_waits_for_the_end_of_warm_up() -> None:
    assert Horizon(12).first_rung == 3
    assert Horizon(12, warmup_epochs=4.5).first_rung == 5
    assert Horizon(2).first_rung == 2


def test_audited_trials_are_never_pruned_and_what_the_pruner_said_is_kept(study: optuna.Study) -> None:
    run_side_by_side(open_bridge(study, pruner="successive_halving", audit=0.3, trials=40))
    audited = [trial for trial in study.trials if trial.user_attrs["audit"]]
    assert 4 <= len(audited) <= 22
    assert all(trial.state is TrialState.COMPLETE for trial in audited)
    assert any("would_prune_at" in trial.user_attrs for trial in audited)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_sampler_accepts_its_own_arguments_only(name: str) -> None:
    assert "seed" not in sampler_arguments(name)
    with pytest.raises(ValueError, match=f"search.sampler: {name} refuses"):
        build_sampler(name, {"nonsense": 1}, seed=0, asked=0, distributions={})


def test_arguments_reach_sampler_and_pruner() -> None:
    sampler = build_sampler("tpe", {"n_startup_trials": 3}, seed=0, asked=0, distributions={})
    assert sampler._n_startup_trials == 3  # type: ignore[attr-defined]
    pruner = build_pruner("percentile", {"percentile": 10.0}, Horizon(9))
    assert pruner._percentile == 10.0  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "argument"), [("median", "nonsense"), ("threshold", "nonsense")])
def test_a_pruner_accepts_its_own_arguments_only(name: str, argument: str) -> None:
    assert argument not in pruner_arguments(name)
    with pytest.raises(ValueError, match=f"search.pruner: {name} refuses"):
        build_pruner(name, {argument: 1}, Horizon(9))


def test_a_threshold_without_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="lower or upper"):
        build_pruner("threshold", {}, Horizon(9))


@pytest.mark.parametrize("name", ["median", "percentile", "successive_halving", "hyperband", "threshold"])
def test_the_first_comparison_is_at_the_first_rung(name: str, study: optuna.Study) -> None:
    run_side_by_side(open_bridge(study, pruner=name, pruner_arguments=ARGUMENTS.get(name), trials=40))
    ended = [len(trial.intermediate_values) for trial in study.trials if trial.state is TrialState.PRUNED]
    assert min(ended) >= 3
