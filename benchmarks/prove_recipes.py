"""Proofs about recipes: what pretrained weights are worth, and what of three reports holds on clean splits."""

import itertools
import json

from benchmarks.check_study import check_study
from benchmarks.command import contourney
from benchmarks.expect import expect_that
from benchmarks.prove_studies import Proof, mobilenet_study, random_study
from benchmarks.records import Records
from benchmarks.results_page import Block, Figure

LEAST_GAIN = 0.05
REPORTS, SEEDS = "terrain-reports", "3"


def prove_pretrained(proof: Proof) -> list[Figure | Block]:
    """ImageNet weights beat random ones by at least 0.05 validation mIoU after searches of the same budget."""
    figures: list[Figure | Block] = []
    best = {}
    for weights, (records, kept) in (("ImageNet", mobilenet_study(proof)), ("random", random_study(proof))):
        check_study(records, proof.mobilenet_trials, proof.mobilenet_epochs, least_pruned=0)
        best[weights] = records.best.value
        epochs = ", ".join(f"{value:.3f}" for value in records.best.intermediate_values.values())
        command = kept["command"]
        figures += [
            Figure(
                f"{weights} weights: best validation mIoU of {len(records.trials)} trials",
                f"{best[weights]:.6f}",
                command,
            ),
            Figure(f"{weights} weights: wall time", f"{kept['wall_s']:.0f} s", command),
            Figure(f"{weights} weights: best so far after each trial", best_so_far(records), command),
            Figure(f"{weights} weights: epochs of the best trial", epochs, command),
        ]
    gain = best["ImageNet"] - best["random"]
    expect_that(gain >= LEAST_GAIN, f"a gain of at least {LEAST_GAIN} validation mIoU", f"{gain:.4f}")
    return [*figures, Figure(f"gain (at least {LEAST_GAIN} must be)", f"{gain:.4f}", "the two commands above")]


def prove_reports(proof: Proof) -> list[Figure | Block]:
    """Every row ends with every seed; the table is shown, whatever it says."""
    place = ("--workspace", str(proof.workspace))
    # What is there already, of an interrupted proof too, is not run again.
    done = contourney("rows", REPORTS, "--seeds", SEEDS, *place, "--quiet").must_exit(0)
    spent = json.loads(contourney("status", REPORTS, "--json", *place).must_exit(0).stdout)["driver_s"]
    table = contourney("table", REPORTS, "--seeds", SEEDS, *place).must_exit(0)
    return [Figure("driver time of all rows", f"{spent:.0f} s", done.typed), Block(table.stdout)]


def best_so_far(records: Records) -> str:
    """The best value of COMPLETE trials after each trial in the order of their numbers; - before the first."""
    values = [trial.value if trial.state.name == "COMPLETE" else float("-inf") for trial in records.trials]
    return ", ".join(f"{value:.3f}" if value > 0 else "-" for value in itertools.accumulate(values, max))
