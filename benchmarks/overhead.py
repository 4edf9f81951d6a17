"""What truth costs through real Ray: 500 trials against Ray Tune's own random search, which records nothing."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import optuna
from ray import tune

from benchmarks.manager import WARM_UP, WORKERS, run_ours
from benchmarks.measure import Comparison, measure_pairs, ratios
from benchmarks.reporting import EPOCHS, PeerReporting
from studies.ray_start import local_or_cluster

TRIALS, REPEATS = 500, 1
MOST = 1.2


def run_ray(root: Path, trials: int) -> float:
    """Seconds of Ray's own random search over the same trainable figures; needs a started Ray."""
    started = time.perf_counter()
    found = tune.run(
        tune.with_resources(PeerReporting, {"cpu": 1}),
        name="tune",
        storage_path=str(root / "ray"),
        config={
            "optimizer.lr": tune.loguniform(1e-5, 1e-1),
            "optimizer.weight_decay": tune.loguniform(1e-6, 1e-2),
            "loss.terms.dice.weight": tune.uniform(0.0, 1.0),
            "augment.set": tune.choice(["none", "flips", "indoor"]),
        },
        num_samples=trials,
        max_concurrent_trials=WORKERS,
        reuse_actors=True,
        trial_dirname_creator=lambda trial: str(trial.trial_id),
        verbose=0,
    )
    spent_s = time.perf_counter() - started
    ended = [trial for trial in found.trials if trial.last_result.get("training_iteration") == EPOCHS]
    if len(ended) != trials:
        raise RuntimeError(f"expected {trials} trials of {EPOCHS} epochs, got {len(ended)}")
    return spent_s


def compare(trials: int = TRIALS, repeats: int = REPEATS) -> Comparison:
    """Alternate both in one Ray, each run in a folder of its own."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.environ["OMP_NUM_THREADS"] = "1"
    root = Path(tempfile.mkdtemp(prefix="contourney-overhead-"))
    number = count()

    def per_trial(run: Callable[[Path, int], float], size: int) -> float:
        return run(root / f"{next(number):02d}", size) / size

    def ours(folder: Path, size: int) -> float:
        return run_ours(folder, size, sampler="random")

    with local_or_cluster(None):
        measure_pairs(lambda: per_trial(ours, WARM_UP), lambda: per_trial(run_ray, WARM_UP), 1)
        own, peer = measure_pairs(lambda: per_trial(ours, trials), lambda: per_trial(run_ray, trials), repeats)
    shutil.rmtree(root)
    return Comparison(
        theme="overhead",
        what=f"Overhead: seconds per trial of {EPOCHS} epochs that train nothing, {trials} trials, {WORKERS} workers",
        unit="s",
        ours=own,
        peer=peer,
        claim=f"at most {MOST} x Ray's own random search",
        holds=statistics.median(ratios(own, peer)) <= MOST,
        packages=("ray", "optuna", "mlflow"),
        notes=(
            "Ours: random search through the driver's own path (bridge, journal, MLflow on SQLite, trial folders with",
            "durable rows and checkpoints). Peer: `tune.run` with Ray's default searcher; it writes no file of",
            "its own and nothing records its trials. Actors reused, Ray's own logger files off on both sides.",
        ),
    )
