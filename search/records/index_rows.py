"""The rows of trial folders in the index: a file that did not change is not parsed again, and one number needs no
whole row.
"""

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.records.index import Index
from search.records.index_trials import UNUSABLE
from search.records.study import RecordError, Row, read_rows

# Rows that stay in memory, of so many trials: a hundred epochs of forty classes are a quarter of a megabyte.
KEPT_TRIALS = 256
# Trials whose rows are written in one transaction.
BATCH = 500
# Columns before those of metrics and arrays.
FIXED = ("epoch", "value", "started_s", "ended_s", "device_s", "worker")
EPOCH, VALUE, STARTED, ENDED, DEVICE, WORKER = range(len(FIXED))

Numbers = NDArray[np.float64]


class RowIndex:
    """Rows by their file, from the index where it has them as they are now, else from the file."""

    def __init__(self, index: Index | None, root: Path) -> None:
        """Folders are kept relative to `root`."""
        self._index = index
        self._root = root
        self._recent = lru_cache(maxsize=KEPT_TRIALS)(self._rows)

    def rows(self, file: Path) -> tuple[Row, ...]:
        """The whole rows of an epochs.jsonl, none where there is no such file; raises RecordError."""
        state = _state(file)
        return () if state is None else self._recent(file, *state)

    def row(self, file: Path, epoch: int | None) -> Row | None:
        """One epoch's row, None where there is none; raises RecordError."""
        if (packed := self._packed(file)) is None:
            return next((row for row in self.rows(file) if row.epoch == epoch), None)
        about, numbers = packed
        found = np.flatnonzero(numbers[:, EPOCH] == epoch)
        return _row(about, numbers[found[0]], int(found[0])) if len(found) else None

    def device_s(self, file: Path) -> float | None:
        """Device seconds of all rows, None where there is no row; raises RecordError."""
        if (packed := self._packed(file)) is None:
            rows = self.rows(file)
            return sum(row.device_s for row in rows) if rows else None
        # One after the other, as a sum over rows.
        return float(sum(packed[1][:, DEVICE].tolist()))

    def update(self, files: Iterable[Path]) -> int:
        """Read what is new or changed among these into the index; returns the number of rows read."""
        if self._index is None:
            return 0
        known = self._index.read(_known) or {}
        states = ((file, _state(file)) for file in files)
        due = [(file, state) for file, state in states if state is not None and known.get(self._key(file)) != state]
        read = 0
        for start in range(0, len(due), BATCH):
            read += self._put(due[start : start + BATCH])
        return read

    def keep_only(self, files: Iterable[Path]) -> None:
        """Let the index forget all other files: of studies that were deleted."""
        if self._index is not None:
            gone = (self._index.read(_known) or {}).keys() - {self._key(file) for file in files}
            if gone:
                doomed = [(folder,) for folder in gone]
                self._index.write(lambda one: one.executemany("delete from rows where folder = ?", doomed))

    def _put(self, due: Sequence[tuple[Path, tuple[int, int]]]) -> int:
        assert self._index is not None
        found = []
        read = 0
        for file, state in due:
            with suppress(RecordError):
                rows = read_rows(file)
                read += len(rows)
                if (packed := pack(rows)) is not None:
                    found.append((self._key(file), *state, *packed))
        self._index.write(lambda one: one.executemany("insert or replace into rows values (?, ?, ?, ?, ?)", found))
        return read

    def _rows(self, file: Path, size: int, changed_ns: int) -> tuple[Row, ...]:
        packed = self._packed(file)
        return read_rows(file) if packed is None else unpack(*packed)

    def _packed(self, file: Path) -> tuple[dict[str, Any], Numbers] | None:
        if self._index is None or (state := _state(file)) is None:
            return None
        question = "select about, numbers from rows where folder = ? and size = ? and changed_ns = ?"
        found = self._index.read(lambda one: one.execute(question, (self._key(file), *state)).fetchone())
        if found is None:
            return None
        try:
            about = json.loads(found[0])
            return about, np.frombuffer(found[1]).reshape(-1, _width(about))
        except UNUSABLE as error:
            self._index.discard(f"holds no rows of {file} ({error})")
            return None

    def _key(self, file: Path) -> str:
        return str(file.parent.relative_to(self._root))


def pack(rows: Sequence[Row]) -> tuple[str, bytes] | None:
    """What the rows have in common as JSON, and their numbers as 64-bit floats; None where they are not alike.

    Then they stay in their file alone: of the user's own algorithm that reports other metrics from epoch to epoch.
    """
    if not rows:
        return None
    first = rows[0]
    workers = list(dict.fromkeys(row.worker for row in rows))
    about = {
        "metrics": list(first.metrics),
        "arrays": [[key, len(values)] for key, values in first.arrays.items()],
        "workers": workers,
        "ends": {index: row.end for index, row in enumerate(rows) if row.end is not None},
    }
    lines = []
    for row in rows:
        value = math.nan if row.value is None else row.value
        line = [row.epoch, value, row.started_s, row.ended_s, row.device_s, workers.index(row.worker)]
        line += row.metrics.values()
        for values in row.arrays.values():
            line += values
        alike = list(row.metrics) == about["metrics"]
        alike &= [[key, len(values)] for key, values in row.arrays.items()] == about["arrays"]
        if not alike or (row.value is not None and math.isnan(row.value)):
            return None
        lines.append(line)
    return json.dumps(about), np.array(lines, dtype=np.float64).tobytes()


def unpack(about: dict[str, Any], numbers: Numbers) -> tuple[Row, ...]:
    """The rows, as `pack` was given them."""
    return tuple(_row(about, line, index) for index, line in enumerate(numbers))


def _row(about: dict[str, Any], line: Numbers, index: int) -> Row:
    numbers = line.tolist()
    place = len(FIXED) + len(about["metrics"])
    arrays = {}
    for key, length in about["arrays"]:
        arrays[key] = numbers[place : place + length]
        place += length
    return Row(
        epoch=int(numbers[EPOCH]),
        value=None if math.isnan(numbers[VALUE]) else numbers[VALUE],
        metrics=dict(zip(about["metrics"], numbers[len(FIXED) :], strict=False)),
        arrays=arrays,
        started_s=numbers[STARTED],
        ended_s=numbers[ENDED],
        device_s=numbers[DEVICE],
        worker=about["workers"][int(numbers[WORKER])],
        end=about["ends"].get(str(index)),
    )


def _width(about: dict[str, Any]) -> int:
    return len(FIXED) + len(about["metrics"]) + sum(int(length) for _, length in about["arrays"])


def _known(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    found = connection.execute("select folder, size, changed_ns from rows").fetchall()
    return {folder: (size, changed_ns) for folder, size, changed_ns in found}


def _state(file: Path) -> tuple[int, int] | None:
    """Size and time of writing, None where there is no such file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
