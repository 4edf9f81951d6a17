"""Rank agreement between a small share of the images and all: worked by hand, refused, and run in miniature."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from studies.confirmatory.fidelity import compare, fidelity_runs, kendall, plan_fidelity
from studies.files.study_file import parse_study
from studies.stored import StudyError, confirm_study
from studies.workspace import Workspace
from tests.studies.running import contourney, ready

FILE = """
name: small
trial:
  epochs: 1
  data: {format: terrain, terrain: {images: 16, seed: 1}, fraction: 0.5}
  model: {width: 2, depth: 2}
space:
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  model.width: {choices: [2, 3]}
search: {trials: 3}
"""


def study(*overrides: str):  # type: ignore[no-untyped-def]
    return parse_study(FILE, "s.yaml", "s", overrides, {})


def test_kendall_by_counting_pairs() -> None:
    a, b = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([2.0, 1.0, 3.0, 5.0, 4.0])
    # Two of ten pairs are turned round: (8 - 2) / 10.
    assert kendall(a, b) == pytest.approx(0.6)
    agree = sum(np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in itertools.combinations(range(5), 2))
    assert kendall(a, b) == pytest.approx(agree / 10)
    assert kendall(np.ones(3), np.arange(3.0)) is None


def test_comparison_by_hand() -> None:
    # Means over seeds: small 1, 2, 4, 3; full 1, 2, 3, 5. One of six pairs is turned round.
    small = np.array([[0.0, 2.0], [2.0, 2.0], [5.0, 3.0], [3.0, 3.0]])
    full = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 2.5], [3.0, 7.0]])
    found = compare(small, full)
    assert found["tau"] == pytest.approx(4 / 6)
    # Seed against seed at full data: 1, 2, 4, 3 and 1, 2, 2.5, 7.
    assert found["ceiling"] == pytest.approx(4 / 6)
    # The small set puts the third first: 3.25 there, 5 would have been possible.
    assert found["regret"] == pytest.approx(1.75)
    assert found["low"] is not None and found["high"] is not None
    assert -1 <= found["low"] < found["tau"] <= found["high"] <= 1  # type: ignore[operator]
    assert compare(small, full) == found


def test_the_same_ranking_everywhere_is_perfect() -> None:
    values = np.arange(24.0).reshape(12, 2)
    found = compare(values, values * 2)
    assert found == {"tau": pytest.approx(1), "low": pytest.approx(1), "high": pytest.approx(1),
                     "ceiling": pytest.approx(1), "regret": 0.0}  # fmt: skip


def test_a_plan_is_paired_and_grows_at_its_end() -> None:
    small, large = (plan_fidelity(study(), trials, 2, None) for trials in (12, 14))
    assert small.fraction == 0.5
    assert large.configurations[:12] == small.configurations
    runs = fidelity_runs(study(), small)
    assert len(runs) == 12 * 2 * 2
    assert {run.settings.data.fraction for run in runs} == {0.5, 1.0}
    assert len({(run.key, run.seed) for run in runs}) == len(runs)
    half, whole = runs[:2]
    assert half.settings.model_copy(update={"data": whole.settings.data}) == whole.settings


@pytest.mark.parametrize(
    ("overrides", "fraction", "words"),
    [
        (["trial.data.fraction=1"], None, r"--fraction"),
        ([], 1.0, r"--fraction"),
        (["space.data.fraction={low: 0.1, high: 1}"], 0.5, r"searches data.fraction"),
        (["space.optimizer.lr={choices: [1e-3, 1e-2]}"], None, r"at least 12 configurations.*got 4"),
    ],
)
def test_what_cannot_be_compared_is_refused(overrides: list[str], fraction: float | None, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        plan_fidelity(study(*overrides), 12, 2, fraction)


@pytest.mark.slow
def test_fidelity_of_a_tiny_study(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(FILE)
    asked = ["fidelity", str(tmp_path / "small.yaml"), "--workspace", str(ready(tmp_path / "w")), "--json"]
    done = contourney(*asked)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    place = Workspace.open(tmp_path / "w")
    confirm = confirm_study("small", place)
    assert confirm is not None
    assert confirm.user_attrs["fidelity"] == found
    assert (found["configurations"] + found["left_out"], found["seeds"], found["fraction"]) == (12, [0, 1], 0.5)
    trials = confirm.get_trials()
    assert len(trials) == 48
    assert {trial.user_attrs["role"] for trial in trials} == {"fidelity"}
    if not found["left_out"]:
        values = {(trial.user_attrs["key"], trial.user_attrs["seed"]): trial.value for trial in trials}
        small, full = (
            np.array([[values[f"{index} at {share}", seed] for seed in (0, 1)] for index in range(12)])
            for share in ("0.5", "1")
        )
        expected = full.mean(axis=1).max() - full.mean(axis=1)[small.mean(axis=1).argmax()]
        assert found["regret"] == pytest.approx(expected)
    again = contourney(*asked)
    assert json.loads(again.stdout) == found
