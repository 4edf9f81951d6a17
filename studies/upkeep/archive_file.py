"""The file of an archived study: a zip whose manifest has the size and SHA-256 of every member.

A zip rather than a tar: its directory stands at the end, so that a file cut short is noticed at once, says every size
before anything is unpacked, and links and devices have no place in it. Nothing in it is pickled or run.
"""

import hashlib
import json
import os
import stat
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from studies.running.provenance import versions

FORMAT, VERSION = "contourney archive", 1
MANIFEST = "manifest.json"
# The documents of an archive, and the folders that files lie in.
SEARCH, CONFIRMED, LEDGER_FILE = "study.json", "confirm.json", "ledger.json"
DOCUMENTS = (SEARCH, CONFIRMED, LEDGER_FILE)
FOLDERS = ("search", "confirm")
CHUNK = 1 << 20


class ArchiveError(ValueError):
    """A file is no archive that can be restored, or cannot be written."""


class Member(BaseModel):
    """One file of an archive."""

    model_config = ConfigDict(extra="forbid", strict=True)

    bytes: NonNegativeInt
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What an archive says of itself; `weights` whether it has those of ended trials."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["contourney archive"]
    version: int
    study: str
    created_s: float
    weights: bool
    versions: dict[str, str]
    members: dict[str, Member]


class ArchiveWriter:
    """Adds members to an archive that is being written."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self.members: dict[str, dict[str, Any]] = {}

    def add(self, name: str, source: IO[bytes]) -> None:
        """Add a file; raises ArchiveError for a name that an archive does not take."""
        check_name(name)
        self._write(name, source)

    def add_json(self, name: str, content: Any) -> None:
        """Add a document."""
        with self._open(name) as target:
            self._note(name, [json.dumps(content, sort_keys=True).encode()], target)

    def _write(self, name: str, source: IO[bytes]) -> None:
        with self._open(name) as target:
            self._note(name, iter(lambda: source.read(CHUNK), b""), target)

    def _open(self, name: str) -> IO[bytes]:
        info = zipfile.ZipInfo(name, time.localtime()[:6])
        # Weights and arrays are as random bits to a compressor.
        info.compress_type = zipfile.ZIP_DEFLATED if name.endswith((".json", ".jsonl")) else zipfile.ZIP_STORED
        info.external_attr = (stat.S_IFREG | 0o644) << 16
        return self._file.open(info, "w", force_zip64=True)

    def _note(self, name: str, chunks: Any, target: IO[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
        self.members[name] = {"bytes": size, "sha256": digest.hexdigest()}


@contextmanager
def writing(path: Path, study: str, *, weights: bool) -> Iterator[ArchiveWriter]:
    """A new archive at `path`, there when it is whole and not before; raises ArchiveError."""
    if path.exists():
        raise ArchiveError(f"{path} is there already; name another file with --output, or delete that one")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with temporary.open("wb") as raw:
            with zipfile.ZipFile(raw, "w") as file:
                writer = ArchiveWriter(file)
                yield writer
                content = {"format": FORMAT, "version": VERSION, "study": study, "created_s": round(time.time(), 3)}
                content |= {"weights": weights, "versions": versions(), "members": dict(writer.members)}
                writer.add_json(MANIFEST, content)
            raw.flush()
            os.fsync(raw.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ArchiveError(f"cannot write {path}: {error}; name another with --output") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_name(name: str) -> None:
    """Raise ArchiveError for a name that is none of a file below the folders of an archive."""
    parts = name.split("/")
    if len(parts) < 2 or parts[0] not in FOLDERS or not all(map(_is_plain, parts)):
        raise ArchiveError(f"{name!r} is no name of a file in an archive; nothing outside of its folders is written")


def _is_plain(part: str) -> bool:
    """Whether a part of a path is a plain visible name: no `..`, nothing hidden, no separator of any system."""
    return part.isprintable() and part != "" and part[0] != "." and "\\" not in part and len(part.encode()) <= 255
