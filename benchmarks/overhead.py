"""What records cost through real Ray: 500 trials against Ray Tune's own random search, which records nothing.

Once with epochs of a fifth of a second, spent waiting as a driver's processor waits for a GPU, and once with epochs
that take no time at all, where nothing hides what is written.
"""

import os
import shutil
import statistics
import tempfile
import time
from itertools import count
from pathlib import Path

import optuna
from ray import tune

from benchmarks.manager import WARM_UP, WORKERS, run_ours
from benchmarks.measure import Comparison, measure_pairs, ratios
from benchmarks.reporting import EPOCH_S, EPOCHS, Paced, PeerPaced, PeerReporting, Reporting
from studies.running.ray_start import local_or_cluster

TRIALS, REPEATS = 500, 1
MOST = 1.2


def run_ray(root: Path, trials: int, trainable: type[PeerReporting]) -> float:
    """Seconds of Ray's own random search over the same trainable figures; needs a started Ray."""
    started = time.perf_counter()
    found = tune.run(
        tune.with_resources(trainable, {"cpu": 1}),
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


def compare() -> Comparison:
    """Trials of two seconds each."""
    own, peer = _measure(Paced, PeerPaced)
    return _comparison(
        "overhead",
        f"epochs of {EPOCH_S} s",
        own,
        peer,
        f"at most {MOST} x Ray's own random search",
        statistics.median(ratios(own, peer)) <= MOST,
    )


def compare_bare() -> Comparison:
    """Trials that take no time."""
    own, peer = _measure(Reporting, PeerReporting)
    return _comparison("overhead-bare", "epochs that take no time", own, peer, "none: what is written, laid bare", None)


def _measure(
    trainable: type[Reporting], peer: type[PeerReporting], trials: int = TRIALS, repeats: int = REPEATS
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds per trial of ours and the peer's: both alternate in one Ray, each run in a folder of its own."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.environ["OMP_NUM_THREADS"] = "1"
    root = Path(tempfile.mkdtemp(prefix="contourney-overhead-"))
    number = count()

    def ours(size: int) -> float:
        return run_ours(root / f"{next(number):02d}", size, sampler="random", entry=trainable) / size

    def rays(size: int) -> float:
        return run_ray(root / f"{next(number):02d}", size, peer) / size

    with local_or_cluster(None):
        measure_pairs(lambda: ours(WARM_UP), lambda: rays(WARM_UP), 1)
        found = measure_pairs(lambda: ours(trials), lambda: rays(trials), repeats)
    shutil.rmtree(root)
    return found


def _comparison(
    theme: str, epochs: str, own: tuple[float, ...], peer: tuple[float, ...], claim: str, holds: bool | None
) -> Comparison:
    return Comparison(
        theme=theme,
        what=f"Overhead: seconds per trial of {EPOCHS} {epochs}, {TRIALS} trials, {WORKERS} workers",
        unit="s",
        ours=own,
        peer=peer,
        claim=claim,
        holds=holds,
        packages=("ray", "optuna", "mlflow"),
        notes=(
            "Ours: random search through the driver's own path (bridge, journal, MLflow on SQLite, trial folders with",
            "durable rows and checkpoints). Peer: `tune.run` with Ray's default searcher; it writes no file of",
            "its own and nothing records its trials. Actors reused, Ray's own logger files off on both sides.",
        ),
    )
