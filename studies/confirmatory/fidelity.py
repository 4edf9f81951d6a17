"""What a small share of the training images is worth for choosing: the same configurations at both sizes of data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from scipy.stats import kendalltau

from search.lease import open_lease
from search.records.study import read_rows
from studies.confirmatory.confirm import Confirmatory, find_run, run_confirmatory
from studies.files.rows_settings import put
from studies.files.space_checks import study_space
from studies.files.study_settings import CONFIRM, StudySettings
from studies.files.whole_paths import absolute
from studies.results import value_of
from studies.running.launch import Outcome
from studies.running.places import fetch_records
from studies.running.watcher import Watcher
from studies.stored import StudyError, confirm_study
from studies.workspace import Workspace

ROLE = "fidelity"
RESULT = "fidelity"
FRACTION = "data.fraction"
RESAMPLES = 2000
MIN_TRIALS = 12


@dataclass(frozen=True)
class Plan:
    """Configurations (searched values by path) to train at both fractions with each seed."""

    configurations: tuple[dict[str, Any], ...]
    fraction: float
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Fidelity:
    """How the small set's ranking agrees with the full set's; figures that are undefined are None.

    `tau` is Kendall's between means over seeds, `low` and `high` its 95 % bootstrap interval over configurations;
    `ceiling` is Kendall's between two seeds at full data: a small set cannot be expected to agree better than that.
    `regret` is the full-data mIoU lost by taking the configuration that the small set puts first. `left_out` counts
    configurations without a value at every size and seed.
    """

    fraction: float
    seeds: tuple[int, ...]
    configurations: int
    left_out: int
    tau: float | None
    low: float | None
    high: float | None
    ceiling: float | None
    regret: float
    device_s_small: float
    device_s_full: float


def plan_fidelity(settings: StudySettings, trials: int, seeds: int, fraction: float | None) -> Plan:
    """Random configurations of the study's space; raises StudyError where there is nothing to compare."""
    space = study_space(settings)
    share = settings.trial.data.fraction if fraction is None else fraction
    if not 0 < share < 1:
        raise StudyError(
            f"study {settings.name!r} trains on all images (trial.data.fraction is {share:g}); give the share whose "
            "ranking is to be compared with --fraction, between 0 and 1"
        )
    if FRACTION in space.distributions:
        raise StudyError(f"study {settings.name!r} searches {FRACTION}; fidelity compares fixed shares of it")
    if not len(space):
        raise StudyError(f"study {settings.name!r} searches nothing; fidelity draws its configurations from the space")
    drawn = optuna.create_study(sampler=RandomSampler(seed=settings.search.seed))
    fixed = settings.trial.model_dump(mode="json")
    configurations: list[dict[str, Any]] = []
    # A small space may have fewer points than are asked for.
    for _ in range(trials * 20):
        values = dict(space.suggest(drawn.ask(), fixed))
        if values not in configurations:
            configurations.append(values)
        if len(configurations) == trials:
            break
    if len(configurations) < MIN_TRIALS:
        raise StudyError(
            f"expected at least {MIN_TRIALS} configurations for a rank correlation, got {len(configurations)}; raise "
            "--trials, or widen the space"
        )
    first = settings.trial.seed
    return Plan(tuple(configurations), share, tuple(range(first, first + seeds)))


def fidelity_runs(settings: StudySettings, plan: Plan) -> list[Confirmatory]:
    """The runs of a plan: per seed and configuration one at the small fraction and one at full data."""
    return [_run(settings, plan, index, seed, share) for seed in plan.seeds for index, share in _cells(plan)]


def run_fidelity(
    settings: StudySettings,
    plan: Plan,
    workspace: Workspace,
    address: str | None,
    watcher: Watcher,
    *,
    accept_leak: bool = False,
) -> tuple[Outcome, Fidelity | None]:
    """Run a plan; the result, kept as an attribute of NAME/confirm, is None where runs are missing."""
    settings = absolute(settings)
    runs = fidelity_runs(settings, plan)
    outcome = run_confirmatory(runs, settings, workspace, address, watcher, accept_leak=accept_leak)
    with open_lease(workspace.storage, settings.name + CONFIRM):
        study = confirm_study(settings.name, workspace, write=True)
        assert study is not None  # made by the run
        result = _read(settings, plan, study, workspace)
        if result is not None:
            study.set_user_attr(RESULT, asdict(result))
    return outcome, result


def compare(small_NS: np.ndarray, full_NS: np.ndarray, seed: int = 0) -> Mapping[str, float | None]:
    """tau, low, high, ceiling and regret of values [N configurations, S seeds] at both sizes."""
    small_N, full_N = small_NS.mean(axis=1), full_NS.mean(axis=1)
    rng = np.random.default_rng(seed)
    count = len(small_N)
    draws = rng.integers(0, count, (RESAMPLES, count))
    taus = [tau for draw in draws if (tau := kendall(small_N[draw], full_N[draw])) is not None]
    low, high = np.quantile(taus, (0.025, 0.975)) if taus else (None, None)
    # With more than two seeds the mean over their pairs.
    pairs = [(a, b) for a in range(full_NS.shape[1]) for b in range(a)]
    between = [tau for a, b in pairs if (tau := kendall(full_NS[:, a], full_NS[:, b])) is not None]
    return {
        "tau": kendall(small_N, full_N),
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
        "ceiling": float(np.mean(between)) if between else None,
        "regret": float(full_N.max() - full_N[small_N.argmax()]),
    }


def kendall(a_N: np.ndarray, b_N: np.ndarray) -> float | None:
    """Kendall's tau-b; None where one side has a single value only."""
    tau = float(kendalltau(a_N, b_N).statistic)
    return None if math.isnan(tau) else tau


def _cells(plan: Plan) -> list[tuple[int, float]]:
    return [(index, share) for index in range(len(plan.configurations)) for share in (plan.fraction, 1.0)]


def _run(settings: StudySettings, plan: Plan, index: int, seed: int, share: float) -> Confirmatory:
    trial = put(settings.trial, {**plan.configurations[index], FRACTION: share})
    return Confirmatory(ROLE, f"{index} at {share:g}", trial, seed)


def _read(settings: StudySettings, plan: Plan, study: optuna.Study, workspace: Workspace) -> Fidelity | None:
    fetch_records(study, workspace)
    values: dict[tuple[int, float], list[float]] = {}
    spent_s = {plan.fraction: 0.0, 1.0: 0.0}
    for index, share in _cells(plan):
        found = [find_run(study, _run(settings, plan, index, seed, share)) for seed in plan.seeds]
        if None in found:
            return None
        ended = [trial for trial in found if trial is not None]
        values[index, share] = [value_of(trial) if trial.state is TrialState.COMPLETE else math.nan for trial in ended]
        folders = [workspace.trial_folder(study.study_name, trial.number) for trial in ended]
        spent_s[share] += sum(row.device_s for folder in folders for row in read_rows(folder / "epochs.jsonl"))
    count = len(plan.configurations)
    small_NS, full_NS = (np.array([values[index, share] for index in range(count)]) for share in (plan.fraction, 1.0))
    sound_N = np.isfinite(small_NS).all(axis=1) & np.isfinite(full_NS).all(axis=1)
    if not sound_N.any():
        return None
    return Fidelity(
        fraction=plan.fraction,
        seeds=plan.seeds,
        configurations=int(sound_N.sum()),
        left_out=int((~sound_N).sum()),
        device_s_small=spent_s[plan.fraction],
        device_s_full=spent_s[1.0],
        **compare(small_NS[sound_N], full_NS[sound_N]),  # type: ignore[arg-type]  # only `regret` is never None
    )


def fidelity_lines(result: Fidelity) -> Sequence[str]:
    """The result in words."""
    tau = "undefined" if result.tau is None else f"{result.tau:.3f}"
    interval = "" if result.low is None else f", 95 % bootstrap interval {result.low:.3f} to {result.high:.3f}"
    ceiling = "undefined" if result.ceiling is None else f"{result.ceiling:.3f}"
    left_out = f"; {result.left_out} left out: they diverged or did not fit" if result.left_out else ""
    cost = result.device_s_small / result.device_s_full if result.device_s_full else math.nan
    return (
        f"{result.configurations} random configurations, {len(result.seeds)} seeds{left_out}",
        f"Kendall's tau between {result.fraction:g} of the training images and all: {tau}{interval}",
        f"the same between two seeds at full data (ceiling): {ceiling}",
        f"choosing by the small set loses {result.regret:.4f} validation mIoU at full data",
        f"the small set costs {cost:.0%} of the device-seconds",
    )
