"""The files of a trial: epochs.jsonl, best.pt, last.pt, applied.json, latency.json, pictures.npz."""

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from trainables.checkpoint import read_checkpoint
from trainables.protocol import Pictures

Row = dict[str, Any]


# No space, no quota, or more than a file may hold.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DiskFull(OSError):
    """A file of a trial could not be written whole; what was there before still is."""


class FolderError(ValueError):
    """A file of a trial was damaged."""


class TrialFolder:
    """Appends rows durably and replaces other files atomically: a crash leaves the old content or the new.

    So does a full disk, of which every method that writes tells by DiskFull.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._epochs = path / "epochs.jsonl"

    def rows(self) -> list[Row]:
        """All rows; a last line that was cut short by a crash is no row. Raises FolderError for one that is none."""
        return [self._row(line, number) for number, line in enumerate(self._lines(), start=1)]

    def append_row(self, row: Row) -> Row:
        """Add a row on disk before returning it as it will be read; NaN and infinity become null."""
        line = json.dumps(_strict(row), allow_nan=False)
        content = line.encode() + b"\n"
        with _room(self._epochs, len(content)), self._epochs.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
        result: Row = json.loads(line)
        return result

    def cut_rows(self, count: int) -> None:
        """Keep the first `count` rows, dropping also a line cut short."""
        if not self._epochs.exists():
            return
        with self._epochs.open("r+b") as file:
            file.truncate(sum(len(line) for line in self._lines()[:count]))
            os.fsync(file.fileno())

    def save(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a checkpoint with torch.save."""
        with self._replacing(name, _bytes(content)) as file:
            torch.save(dict(content), file)

    def load(self, name: str) -> dict[str, Any] | None:
        """Read a checkpoint onto the CPU, None where there is none; raises CheckpointError for a damaged one."""
        path = self.path / name
        if not path.exists():
            return None
        return read_checkpoint(path)

    def save_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write strict JSON."""
        text = json.dumps(_strict(dict(content)), allow_nan=False, indent=1) + "\n"
        with self._replacing(name, len(text)) as file:
            file.write(text.encode())

    def load_json(self, name: str) -> dict[str, Any] | None:
        """Read JSON, None where there is none."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def save_pictures(self, pictures: Pictures, name: str = "pictures.npz") -> None:
        """Write pictures to a file that needs no pickle to be read."""
        arrays: dict[str, np.ndarray] = {"names": np.array(pictures.names, dtype=np.str_)}
        columns = {"image": pictures.images, "truth": pictures.truths, "prediction": pictures.predictions}
        arrays |= {f"{key}_{i}": array for key, column in columns.items() for i, array in enumerate(column)}
        self.save_arrays(name, arrays)

    def save_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write arrays by name to an npz file that needs no pickle to be read."""
        with self._replacing(name, sum(array.nbytes for array in arrays.values())) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def _row(self, line: bytes, number: int) -> Row:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or row.get("epoch") != number:
            raise FolderError(
                f"{self._epochs}, line {number}: expected the row of epoch {number}, got {line[:40]!r}; restore a copy "
                f"of the file, or delete its lines from {number} on: a trial that goes on then starts anew"
            )
        return row

    def _lines(self) -> list[bytes]:
        """Whole lines with their ends."""
        content = self._epochs.read_bytes() if self._epochs.exists() else b""
        return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)

    @contextmanager
    def _replacing(self, name: str, needed: int) -> Iterator[IO[bytes]]:
        """A new file that takes the name once it is whole and on disk; the old one stays if anything fails."""
        temporary = self.path / f".{name}.new"
        with _room(self.path / name, needed):
            try:
                with temporary.open("wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path / name)
            finally:
                temporary.unlink(missing_ok=True)
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _room(path: Path, needed: int) -> Iterator[None]:
    """Raise DiskFull where the file at `path`, of about so many bytes, finds no room."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if (cause := _full(error)) is None:
            raise
        free = shutil.disk_usage(path.parent).free
        raise DiskFull(
            f"{path} cannot be written ({cause.strerror}): it needs about {needed:,} bytes, and {free:,} are free in "
            f"{path.parent}; what was there before is whole. Free some space there, or use a workspace on a larger disk"
        ) from error


def _full(error: BaseException | None) -> OSError | None:
    """The error of a full disk within others: torch.save raises a RuntimeError of its own over it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return error
        error = error.__context__
    return None


def _bytes(content: Any) -> int:
    """Size of the tensors in nested content, which is nearly all of a checkpoint."""
    match content:
        case torch.Tensor():
            return content.nbytes
        case Mapping():
            return sum(_bytes(item) for item in content.values())
        case list() | tuple():
            return sum(_bytes(item) for item in content)
    return 0


def _strict(value: Any) -> Any:
    """The value with None for every number that JSON does not have."""
    match value:
        case dict():
            return {key: _strict(item) for key, item in value.items()}
        case list() | tuple():
            return [_strict(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value
