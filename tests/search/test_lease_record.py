"""Who runs a study, read without being in anybody's way."""

import threading
from pathlib import Path

import pytest

from search.lease import FileLease
from search.records.lease import LeaseRecord, read_lease, state_words, study_state
from tests.search.test_storage import holding

HOLD = "from search.lease import open_lease\nlease = open_lease(*sys.argv[1:]).__enter__()"
HELD, GONE = LeaseRecord(True, 12, "host", 1.79e9), LeaseRecord(False, 12, "host", 1.79e9)


def test_a_holder_is_seen_while_it_lives_and_named_after_its_death(journal: Path) -> None:
    assert read_lease(str(journal), "s") == LeaseRecord(False)
    assert list(journal.parent.iterdir()) == []
    with holding(HOLD, str(journal), "s") as pid:
        held = read_lease(str(journal), "s")
        assert (held.held, held.pid) == (True, pid)
        assert held.holder.startswith(f"process {pid} on ")
        assert read_lease(str(journal), "another") == LeaseRecord(False)
    gone = read_lease(str(journal), "s")
    assert (gone.held, gone.pid, gone.since_s) == (False, pid, held.since_s)


@pytest.mark.parametrize("note", ["", "no json", "[]", '{"pid": 1}', '{"pid": "x", "host": "h", "since_s": 1}', "\xff"])
def test_a_note_that_cannot_be_read_names_nobody(journal: Path, note: str) -> None:
    FileLease(journal, "s").path.write_text(note, encoding="latin-1")
    assert read_lease(str(journal), "s") == LeaseRecord(False)


def test_many_looks_hinder_no_driver(journal: Path) -> None:
    ended = threading.Event()
    looked = threading.Event()

    def look() -> None:
        while not ended.is_set():
            read_lease(str(journal), "s")
            looked.set()

    looker = threading.Thread(target=look)
    looker.start()
    try:
        looked.wait(10)
        for _ in range(200):
            with FileLease(journal, "s"):
                pass
    finally:
        ended.set()
        looker.join()


@pytest.mark.parametrize(
    ("states", "total", "lease", "expected"),
    [
        ({}, 5, GONE, "new"),
        ({}, 5, HELD, "running"),
        ({"RUNNING": 1}, 5, HELD, "running"),
        ({"RUNNING": 1}, 5, GONE, "interrupted"),
        ({"RUNNING": 1}, 5, LeaseRecord(False), "interrupted"),
        ({"RUNNING": 1}, 5, None, "running"),
        ({"COMPLETE": 4, "WAITING": 1}, 5, GONE, "interrupted"),
        ({"COMPLETE": 3}, 5, HELD, "running"),
        ({"COMPLETE": 3}, 5, GONE, "idle"),
        ({"COMPLETE": 3}, None, None, "idle"),
        ({"COMPLETE": 2, "PRUNED": 2, "FAIL": 1}, 5, GONE, "finished"),
        ({"COMPLETE": 2, "PRUNED": 2, "FAIL": 1}, 5, HELD, "finished"),
        ({"COMPLETE": 5, "RUNNING": 1}, 5, GONE, "interrupted"),
    ],
)
def test_the_state_of_a_study(
    states: dict[str, int], total: int | None, lease: LeaseRecord | None, expected: str
) -> None:
    assert study_state(states, total, lease) == expected


def test_an_interrupted_study_says_how_it_goes_on() -> None:
    words = state_words("my study", "interrupted", GONE)
    assert words.startswith("interrupted (last held by process 12 on host, since 20")
    assert words.endswith("; contourney resume 'my study' goes on")
    assert state_words("s", "interrupted", LeaseRecord(False)) == "interrupted; contourney resume s goes on"
    assert state_words("s", "running", HELD).startswith("running: process 12 on host, since 20")
    assert state_words("s", "running", LeaseRecord(True)) == "running: a process"
    assert state_words("s", "idle", GONE) == "idle"
