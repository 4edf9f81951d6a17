"""Several studies beside each other: expected best by brute force, histories by hand, and what does not compare."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from dashboards.comparison import difference_table, incomparable_words, overview_table, render_comparison
from dashboards.figures.class_compared import class_compared_table, draw_class_compared
from dashboards.figures.expected_best import draw_expected_best, expected_best_table
from dashboards.figures.history_compared import draw_history_compared, history_compared_table
from search.records.study import StudyRecord
from tests.dashboards.studies import FACTS, SETTINGS, Builder

Made = Callable[..., StudyRecord]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    def make(name: str, curves: list[list[float]], **of_builder: Any) -> StudyRecord:
        (tmp_path / name).mkdir()
        builder = Builder(tmp_path / name, name=name, **of_builder)
        for curve in curves:
            if len(curve) == 1:
                builder.trial(curve, TrialState.PRUNED, "pruned")
            else:
                builder.trial(curve, TrialState.COMPLETE, "finished")
        return builder.read()

    return make


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_expected_best_is_the_mean_over_every_draw(made: Made, direction: str) -> None:
    study = made("s", [[0.1, 0.5], [0.2, 0.7], [0.3], [0.1, 0.5]], direction=direction)
    values = [trial.value or 0.0 for trial in study.trials]
    best = max if direction == "maximize" else min
    rows = expected_best_table(study)
    assert [row["trials"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        draws = [best(draw) for draw in product(values, repeat=row["trials"])]
        assert row["expected best"] == pytest.approx(np.mean(draws))
        assert row["deviation"] == pytest.approx(np.std(draws))


def test_thousands_of_trials_keep_the_first_hundredths_and_the_whole_budget(made: Made, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("dashboards.figures.expected_best.MOST_POINTS", 5)
    rows = expected_best_table(made("s", [[0.1 * place] for place in range(1, 9)]))
    assert [row["trials"] for row in rows] == [2, 4, 5, 7, 8]


def test_histories_meet_over_the_epochs_each_had_trained(made: Made) -> None:
    first = made("first", [[0.1, 0.4], [0.2], [0.3, 0.3], [0.5, 0.6]])
    second = made("second", [[0.2]])
    assert [(row["trial"], row["epochs"], row["best so far"]) for row in history_compared_table(first, second)] == [
        (0, 2, 0.4),
        (3, 7, 0.6),
    ]
    words = draw_history_compared(first, second).layout.meta["subtitle"]
    assert "first: 4 trials (3 complete, 1 pruned); second: 1 trial (1 pruned)" in words


def test_classes_stand_side_by_side_where_they_are_the_same(made: Made) -> None:
    first, second = made("first", [[0.4, 0.5]]), made("second", [[0.6, 0.3]])
    other = made("other", [[0.4, 0.5]], facts={**FACTS, "class_names": ["a", "b", "c", "d", "e"]})
    rows = class_compared_table(first, second, other)
    assert [row["class"] for row in rows] == ["soil", "bedrock", "sand", "background", "big rock"]
    assert (rows[0]["first"], rows[0]["second"]) == (0.5, 0.6)
    assert "other" not in rows[0]
    notes = draw_class_compared(first, second, other).layout.meta["notes"]
    assert "Not shown, of other classes or without rows here: other." in notes


def test_the_overview_and_what_differs(made: Made) -> None:
    first = made("first", [[0.4, 0.5]])
    settings = {**SETTINGS, "search": {**SETTINGS["search"], "sampler": {"name": "tpe"}}}
    second = made("second", [[0.6]], settings=settings)
    rows = overview_table([first, second])
    assert [(row["study"], row["best"], row["trials"], row["epochs"], row["test"]) for row in rows] == [
        ("first", 0.5, "1 complete", 2, "not opened"),
        ("second", None, "1 pruned", 1, "not opened"),
    ]
    assert difference_table([first, second]) == [{"what": "sampler", "first": "random", "second": "tpe"}]
    assert incomparable_words([first, second]) == []


def test_values_that_do_not_compare_are_warned_about(made: Made) -> None:
    first = made("first", [[0.4, 0.5]])
    facts = {**FACTS, "metric": "test mIoU", "fingerprints": {"validation": "0" * 16}}
    words = incomparable_words([first, made("second", [[0.4, 0.5]], facts=facts, direction="minimize")])
    assert words[0] == "Warning: the studies have different metrics: validation mIoU, test mIoU."
    assert "maximise" in words[1]
    assert words[2].endswith("(fingerprints: first 476d7ce01f5a, second 000000000000).")


def test_the_page_shows_names_as_text_and_works_without_trials(made: Made) -> None:
    page = render_comparison([made("<script>alert(1)</script>".replace("/", "∕"), []), made("second", [])])
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("yet.") >= 2


@pytest.mark.parametrize("draw", [draw_expected_best, draw_history_compared, draw_class_compared])
def test_without_trials_figures_say_why(made: Made, draw: Any) -> None:
    assert draw(made("s", []), made("t", [])).layout.meta["missing"]
