"""What a trial costs beside its training: contourney's manager against Ray's own OptunaSearch with MLflow."""

import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import optuna
from mlflow import MlflowClient
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search.optuna import OptunaSearch

from benchmarks.measure import Comparison, measure_pairs, ratios
from benchmarks.reporting import EPOCHS, PeerReporting, Reporting
from search.budget import Budget
from search.samplers import SAMPLERS, derive_seed
from search.storage import open_storage
from studies.files.space_checks import study_space
from studies.files.study_file import parse_study
from studies.running.driver import run_trials
from studies.running.ray_start import local_or_cluster
from studies.running.resources import Slots
from studies.running.searching import searching
from studies.stored import save_settings
from studies.workspace import Workspace

TRIALS, WORKERS, REPEATS, WARM_UP = 100, 2, 3, 4
MOST = 0.7

STUDY = f"""
trial:
  epochs: {EPOCHS}
  data: {{format: terrain}}
space:
  optimizer.lr: {{low: 1e-5, high: 1e-1, log: true}}
  optimizer.weight_decay: {{low: 1e-6, high: 1e-2, log: true}}
  loss.terms.dice.weight: {{low: 0.0, high: 1.0}}
  augment.set: {{choices: [none, flips, indoor]}}
search:
  audit: 0.0
  pruner: {{name: none}}
"""
# What a launch finds out about its data; here there are none.
FACTS = {"metric": "validation mIoU", "class_names": ["background", "object"], "fingerprints": {}}


class Quiet:
    """Watches without a word."""

    def begin(self, total: int | None, ended: Mapping[str, int], best: tuple[float, int, int] | None) -> None: ...

    def say(self, text: str) -> None:
        raise RuntimeError(f"the manager complains: {text}")

    def on_trial(self, number: int, reason: object, values: Mapping[str, Any]) -> None: ...

    def on_epoch(self, number: int, epoch: int, value: float | None) -> None: ...


def run_ours(root: Path, trials: int, sampler: str = "tpe", entry: type[Reporting] = Reporting) -> float:
    """Seconds of a study from its first record to the last one in MLflow; needs a started Ray."""
    overrides = (
        f"search.trials={trials}",
        f"search.sampler={{name: {sampler}}}",
        f"trial.entry={entry.__module__}:{entry.__qualname__}",
    )
    settings = parse_study(STUDY, "benchmark", "benchmark", overrides)
    workspace = Workspace.open(root)
    storage = open_storage(workspace.storage, write=True)
    MlflowClient(workspace.tracking).search_experiments()  # creates the tables
    started = time.perf_counter()
    study = optuna.create_study(study_name=settings.name, storage=storage, direction="maximize")
    study.set_user_attr("metric", FACTS["metric"])
    study.set_user_attr("facts", FACTS)
    save_settings(study, settings)
    budget = Budget(trials, None)
    with searching(study, settings, workspace, budget, Quiet(), ahead=True) as bridge:
        slots = Slots({"cpu": 1}, WORKERS, 1)
        run_trials(study, settings, study_space(settings), workspace, bridge, budget, slots, lambda: None)
    spent_s = time.perf_counter() - started
    check_trials(study, trials)
    _check_mlflow(workspace.tracking, settings.name, trials + 1, "val/miou")
    return spent_s


def run_peer(root: Path, trials: int) -> float:
    """Seconds of the same search by OptunaSearch on SQLite with MLflowLoggerCallback; needs a started Ray."""
    root.mkdir(parents=True)
    tracking = f"sqlite:///{root / 'mlflow.db'}"
    MlflowClient(tracking).search_experiments()
    storage = RDBStorage(f"sqlite:///{root / 'optuna.db'}")
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = TPESampler(**SAMPLERS["tpe"].defaults, seed=derive_seed(0, 0))
    search = OptunaSearch(metric="miou", mode="max", sampler=sampler, study_name="benchmark", storage=storage)
    tune.run(
        tune.with_resources(PeerReporting, {"cpu": 1}),
        name="tune",
        storage_path=str(root / "ray"),
        config={
            "optimizer.lr": tune.loguniform(1e-5, 1e-1),
            "optimizer.weight_decay": tune.loguniform(1e-6, 1e-2),
            "loss.terms.dice.weight": tune.uniform(0.0, 1.0),
            "augment.set": tune.choice(["none", "flips", "indoor"]),
        },
        search_alg=search,
        callbacks=[MLflowLoggerCallback(tracking_uri=tracking, experiment_name="benchmark")],
        num_samples=trials,
        max_concurrent_trials=WORKERS,
        reuse_actors=True,
        trial_dirname_creator=lambda trial: str(trial.trial_id),
        verbose=0,
    )
    spent_s = time.perf_counter() - started
    # The callback leaves its address in the environment, where ours would find it.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    check_trials(optuna.load_study(study_name="benchmark", storage=storage), trials)
    _check_mlflow(tracking, "benchmark", trials, "miou")
    return spent_s


def compare(trials: int = TRIALS, repeats: int = REPEATS) -> Comparison:
    """Alternate both in one Ray, each run in a folder of its own."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.environ["OMP_NUM_THREADS"] = "1"
    root = Path(tempfile.mkdtemp(prefix="contourney-manager-"))
    number = count()

    def per_trial(run: Callable[[Path, int], float], size: int) -> float:
        return run(root / f"{next(number):02d}", size) / size

    with local_or_cluster(None), warnings.catch_warnings():
        # TPE's `group` warns at every call of the peer's.
        warnings.simplefilter("ignore", ExperimentalWarning)
        measure_pairs(lambda: per_trial(run_ours, WARM_UP), lambda: per_trial(run_peer, WARM_UP), 1)
        ours, peer = measure_pairs(lambda: per_trial(run_ours, trials), lambda: per_trial(run_peer, trials), repeats)
    shutil.rmtree(root)
    return Comparison(
        theme="manager",
        what=f"Manager: seconds per trial of {EPOCHS} epochs that train nothing, {trials} trials, {WORKERS} workers",
        unit="s",
        ours=ours,
        peer=peer,
        claim=f"at most {MOST} x the peer's seconds per trial",
        holds=statistics.median(ratios(ours, peer)) <= MOST,
        packages=("ray", "optuna", "mlflow"),
        notes=(
            "Ours: the driver's own path (bridge, journal, MLflow on SQLite, worker, trial folder with its durable",
            "rows and checkpoints). Peer: Ray's OptunaSearch on SQLite with MLflowLoggerCallback on SQLite; its class",
            "trainable writes no file. Same four parameters, same TPE with the same seed, no pruning, actors reused,",
            "Ray's default CSV, JSON and TensorBoard loggers off on both sides, six figures an epoch. Outside the",
            "clock on both sides: starting Ray, importing, creating the tables of the databases. Inside: starting the",
            "two actors, and everything until the last record is in MLflow.",
        ),
    )


def check_trials(study: optuna.Study, trials: int) -> None:
    """Raise RuntimeError unless so many trials are COMPLETE, each with epochs."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) != trials or any(trial.last_step is None for trial in complete):
        raise RuntimeError(f"expected {trials} complete trials with epochs, got {len(complete)}")


def _check_mlflow(tracking: str, name: str, runs: int, metric: str) -> None:
    client = MlflowClient(tracking)
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    last = client.get_metric_history(found[0].info.run_id, metric)
    if len(found) != runs or len(last) != EPOCHS:
        raise RuntimeError(f"expected {runs} runs of {EPOCHS} points, got {len(found)} runs, {len(last)} points")
