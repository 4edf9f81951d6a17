"""The timeline of workers against a day that was made up: two workers, a pause, a trial that moved."""

import json
from pathlib import Path

import pytest
from optuna.trial import TrialState

from dashboards.figures.timeline import draw_timeline, time_words, timeline_table
from search.records.study import StudyRecord
from tests.dashboards.studies import Builder

START_S = 1.79e9


def place(folder: Path, rows: list[tuple[str, float, float]]) -> None:
    """Rows by worker, start and end in seconds."""
    path = folder / "epochs.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, (worker, start, end) in zip(lines, rows, strict=True):
        line |= {"worker": worker, "started_s": START_S + start, "ended_s": START_S + end}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def day(builder: Builder) -> StudyRecord:
    first = builder.trial([0.1, 0.2, 0.3], TrialState.COMPLETE, "finished")
    second = builder.trial([0.1], TrialState.PRUNED, "pruned")
    third = builder.trial([0.1, 0.2], TrialState.COMPLETE, "finished")
    # a trains 0, then 2 from its first epoch on; everything stands still from 40 to 1040; c takes 2 over.
    place(builder.folder(first), [("a", 0, 10), ("a", 10, 20), ("a", 20, 30)])
    place(builder.folder(second), [("b", 5, 25)])
    place(builder.folder(third), [("a", 35, 40), ("c", 1040, 1060)])
    return builder.read()


def test_workers_are_busy_idle_or_stand_still_with_the_study(day: StudyRecord) -> None:
    rows = timeline_table(day)
    assert [row["worker"] for row in rows] == ["a", "b", "c"]
    a, b, c = rows
    assert (a["trials"], a["epochs"], a["training"], a["idle"], a["taken over"]) == (2, 4, "35 s", "5 s", 0)
    assert a["utilisation"] == pytest.approx(35 / 40)
    assert (b["utilisation"], b["training"], b["study paused"]) == (1.0, "20 s", "0 s")
    assert (c["trials"], c["taken over"]) == (1, 1)


def test_a_pause_within_a_workers_time_is_not_its_idleness(builder: Builder) -> None:
    place(builder.folder(builder.trial([0.1, 0.2], TrialState.COMPLETE, "finished")), [("a", 0, 50), ("a", 250, 300)])
    (row,) = timeline_table(builder.read())
    assert (row["utilisation"], row["study paused"], row["idle"], row["taken over"]) == (1.0, "3 min 20 s", "0 s", 1)


def test_time_lost_is_said_in_words(day: StudyRecord) -> None:
    assert time_words(day) == (
        "17 min 40 s from the first epoch to the last, 16 min 40 s of it with no epoch under way (1 pause); epochs "
        "took 93.8% of the workers' time. 1 interruption of a trial that went on later, after 16 min 40 s in all."
    )


def test_a_bar_for_each_stretch_lies_on_its_workers_lane(day: StudyRecord) -> None:
    figure = draw_timeline(day)
    complete, pruned = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["a", "b", "c"]
    assert list(complete.base) == pytest.approx([0, 35 / 60, 1040 / 60])
    assert list(complete.x) == pytest.approx([30 / 60, 5 / 60, 20 / 60])
    assert list(complete.y) == [2, 2, 0]
    assert list(pruned.y) == [1]


def test_rows_that_are_elsewhere_are_asked_for(builder: Builder) -> None:
    builder.folder(builder.trial([0.5], TrialState.COMPLETE, "finished")).joinpath("epochs.jsonl").unlink()
    assert "No epoch's times are here: expected " in draw_timeline(builder.read()).layout.meta["missing"]
