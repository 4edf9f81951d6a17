"""Cost against quality: the front against its definition, and the sentence that answers whether it is worth it."""

import json
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState

from dashboards.figures.cost import LATENCY, SECONDS, cost_table, draw_cost, pareto_front, worth_words
from tests.dashboards.studies import Builder


def add(builder: Builder, value: float, seconds: float, parameters: int = 1000) -> None:
    """A complete trial of one epoch."""
    trial = builder.trial([value], TrialState.COMPLETE, "finished", trainable_parameters=parameters)
    spend(builder.folder(trial), seconds)


def spend(folder: Path, seconds: float) -> None:
    path = folder / "epochs.jsonl"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device_s": seconds}) + "\n")


def test_no_trial_is_cheaper_and_as_good_as_one_on_the_front(builder: Builder) -> None:
    generator = np.random.default_rng(0)
    for _ in range(25):
        add(builder, round(float(generator.uniform(0.3, 0.6)), 2), float(generator.integers(50, 70)))
    study = builder.read()
    rows = cost_table(study)
    for row in rows:
        beaten = any(
            other["value"] >= row["value"]
            and other[SECONDS] <= row[SECONDS]
            and (other["value"], other[SECONDS]) != (row["value"], row[SECONDS])
            for other in rows
        )
        twin = any(
            (other["value"], other[SECONDS]) == (row["value"], row[SECONDS]) and other["trial"] < row["trial"]
            for other in rows
        )
        assert row["front by seconds"] is not (beaten or twin)
    steps = draw_cost(study).data[0]
    assert list(steps.x) == sorted(steps.x)
    assert list(steps.y) == sorted(steps.y)


def test_a_study_that_minimises_has_the_lower_front(tmp_path: Path) -> None:
    builder = Builder(tmp_path, direction="minimize")
    for value, seconds in ((0.5, 10), (0.4, 20), (0.45, 30)):
        add(builder, value, seconds)
    study = builder.read()
    assert [row["trial"] for row in pareto_front(study, cost_table(study), SECONDS)] == [0, 1]


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ([(0.6, 100)], "Trial 0 has 0.6000 for 1 min 40 s of device time; no cheaper complete trial exists."),
        ([(0.6, 100), (0.597, 40)], "trial 1 lacks 0.0030, within the margin of 0.005, for 40.0% of that."),
        ([(0.6, 100), (0.55, 40)], "nothing cheaper is within 0.005 of it: trial 1 lacks 0.0500, for 40.0% of that."),
        ([(0.6, 100), (0.55, 140)], "no cheaper complete trial exists."),
    ],
)
def test_whether_it_is_worth_it_is_a_sentence(builder: Builder, trials: list[tuple[float, float]], words: str) -> None:
    for value, seconds in trials:
        add(builder, value, seconds)
    study = builder.read()
    found = worth_words(study, cost_table(study))
    assert found.startswith("Is it worth it? ")
    assert found.endswith(words)
    assert found in draw_cost(study).layout.meta["notes"]


def test_parameters_have_a_panel_where_trials_differ_in_them(builder: Builder) -> None:
    add(builder, 0.5, 10, parameters=1000)
    add(builder, 0.6, 20, parameters=1000)
    assert "xaxis2" not in draw_cost(builder.read()).layout
    add(builder, 0.55, 30, parameters=400)
    figure = draw_cost(builder.read())
    assert figure.layout.xaxis2.title.text == "trained parameters"
    assert [row["front by parameters"] for row in cost_table(builder.read())] == [True, True, False]


def test_trials_without_rows_are_counted_and_pruned_ones_left_out(builder: Builder) -> None:
    add(builder, 0.5, 10)
    builder.trial([0.9], TrialState.PRUNED, "pruned")
    builder.folder(builder.trial([0.6], TrialState.COMPLETE, "finished")).joinpath("epochs.jsonl").unlink()
    study = builder.read()
    assert [(row["trial"], row[SECONDS]) for row in cost_table(study)] == [(2, None), (0, 10)]
    assert "The device time of 1 trials is not here." in draw_cost(study).layout.meta["notes"]


def test_latency_has_a_panel_of_the_device_that_measured_most(builder: Builder) -> None:
    for value, ms, device in ((0.5, 4.0, "gpu"), (0.6, 9.0, "gpu"), (0.58, 12.5, "gpu"), (0.7, 300.0, "cpu")):
        known = {"latency_ms": ms, "latency_device": device}
        trial = builder.trial([value], TrialState.COMPLETE, "finished", trainable_parameters=1000, **known)
        spend(builder.folder(trial), 100 * value)
    study = builder.read()
    assert [(row["trial"], row[LATENCY], row["front by latency"]) for row in cost_table(study)] == [
        (3, None, False), (1, 9.0, True), (2, 12.5, False), (0, 4.0, True)
    ]  # fmt: skip
    figure = draw_cost(study)
    assert figure.layout.xaxis2.title.text == "latency, ms"
    steps = [trace for trace in figure.data if trace.name == "Pareto front"][1]
    assert (list(steps.x), list(steps.y)) == ([4.0, 9.0], [0.5, 0.6])
    notes = figure.layout.meta["notes"]
    assert "Latency: one image at a time on gpu, while other trials may have run there." in notes
    assert "Measured on another device and left out: 1 trial." in notes


def test_the_sentence_says_what_the_two_take_in_use(builder: Builder) -> None:
    for value, ms in ((0.5, 4.0), (0.6, 9.04)):
        known = {"latency_ms": ms, "latency_device": "gpu"}
        spend(builder.folder(builder.trial([value], TrialState.COMPLETE, "finished", **known)), 100 * value)
    study = builder.read()
    assert worth_words(study, cost_table(study)).endswith(
        "for 83.3% of that; an image takes 9.04 ms with the best, 4 ms with the other."
    )
