"""Proofs about recipes: what pretrained weights are worth, and what of three reports holds on clean splits."""

import itertools
import json
from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmarks.check_study import check_study
from benchmarks.command import ROOT, contourney
from benchmarks.expect import expect_that
from benchmarks.picture import save_picture
from benchmarks.prove_studies import Proof, mobilenet_study, random_study
from benchmarks.records import Records
from benchmarks.results_page import Block, Figure

LEAST_GAIN = 0.05
CURVES = ROOT / "docs" / "pretrained.png"
COLOURS = ("#1f6feb", "#d1570a")
REPORTS, SEEDS = "terrain-reports", "3"


def prove_pretrained(proof: Proof) -> list[Figure | Block]:
    """ImageNet weights beat random ones by at least 0.05 validation mIoU after searches of the same budget."""
    figures: list[Figure | Block] = []
    best, studies = {}, {}
    for weights, (records, kept) in (("ImageNet", mobilenet_study(proof)), ("random", random_study(proof))):
        check_study(records, proof.mobilenet_trials, proof.mobilenet_epochs, least_pruned=0)
        best[weights], studies[f"{weights} weights"] = records.best.value, records
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
    save_picture(draw_curves(studies), CURVES, 1100, 420)
    curves = Block(f"![learning curves of both studies, and the best so far]({CURVES.name})")
    gained = Figure(f"gain (at least {LEAST_GAIN} must be)", f"{gain:.4f}", "the two commands above")
    return [*figures, gained, curves]


def draw_curves(studies: Mapping[str, Records]) -> go.Figure:
    """Validation mIoU of every trial by epoch, a panel a study, and the best so far by trial."""
    titles = [*studies, "best so far"]
    figure = make_subplots(rows=1, cols=len(titles), shared_yaxes=True, subplot_titles=titles)
    for column, (name, records) in enumerate(studies.items(), 1):
        colour = COLOURS[column - 1]
        for trial in records.trials:
            values = trial.intermediate_values
            curve = go.Scatter(
                x=list(values), y=list(values.values()), line={"color": colour, "width": 1}, showlegend=False
            )
            figure.add_trace(curve, row=1, col=column)
        best = list(itertools.accumulate((max(trial.intermediate_values.values()) for trial in records.trials), max))
        steps = go.Scatter(x=list(range(len(best))), y=best, name=name, line={"color": colour, "shape": "hv"})
        figure.add_trace(steps, row=1, col=len(titles))
        figure.update_xaxes(title="epoch", dtick=1, row=1, col=column)
    figure.update_xaxes(title="trial", row=1, col=len(titles))
    figure.update_yaxes(title="validation mIoU", col=1)
    return figure


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
