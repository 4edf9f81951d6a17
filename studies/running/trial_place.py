"""Where a trial's files are kept: a folder of the workspace, or a URI that pyarrow reads (a path, file://, s3://, gs://).

A worker writes locally and pushes after each epoch; a reader fetches into the workspace. Without a URI both are one
folder and nothing is copied.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit

from pyarrow import ArrowInvalid
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

# The order in which a restart relies on them: rows, then the best weights, then last.pt, which says how many rows
# count. What else a folder holds goes between.
FIRST = ("epochs.jsonl",)
LAST = ("best.pt", "last.pt")
# Seconds between attempts at a place that does not answer, a minute in all.
DELAYS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# S3 tells whole seconds: a copy fetched within them may be older than what was written since.
SETTLED_S = 2.0
SCHEMES = ("", "file", "s3", "gs", "gcs")

Result = TypeVar("Result")


class PlaceError(ValueError):
    """A place of trial folders cannot be used as asked."""


class PlaceGone(RuntimeError):
    """A place of trial folders did not answer for a minute, or refuses us."""


@dataclass(frozen=True)
class FoundFile:
    """A file of a trial: its size in bytes and when it was last written, in seconds since 1970."""

    bytes: int
    written_s: float


class TrialPlace:
    """The files of one trial, by their names in a local folder and, with a URI, at that place too.

    Errors of the network are tried again for a minute before PlaceGone is raised. A file at the URI is replaced whole:
    it is written beside the old one, which stays until the new one is complete.
    """

    def __init__(self, folder: Path, uri: str | None = None, delays_s: Sequence[float] = DELAYS_S) -> None:
        self.folder = folder
        self.uri = uri
        self._delays_s = delays_s
        self._pushed: dict[str, tuple[int, int]] = {}

    def list(self) -> dict[str, FoundFile]:
        """The files that are kept, by name; hidden ones are none."""
        if self.uri is None:
            return found_files(FileSystem.from_uri(self.folder.absolute().as_uri())[0], str(self.folder.absolute()))
        return self._try(lambda files, base: found_files(files, base))

    def list_folders(self) -> dict[str, dict[str, FoundFile]]:
        """The files of every folder directly under the URI, with one listing for all."""
        return self._try(found_files_by_folder)

    def read(self, name: str) -> bytes | None:
        """A file's content, None where there is no such file."""
        path = self.fetch([name]) / name
        return path.read_bytes() if path.is_file() else None

    def fetch(self, names: Iterable[str] | None = None) -> Path:
        """The local folder, holding the newest of these files (all of them if None) that are kept."""
        if self.uri is None:
            return self.folder
        found = self.list()
        return self.fetch_found({name: found[name] for name in (found if names is None else names) if name in found})

    def fetch_found(self, found: Mapping[str, FoundFile]) -> Path:
        """As `fetch`, where a listing is at hand."""
        for name, file in found.items():
            if not _is_copy(self.folder / name, file):
                self._fetch(name, file)
        return self.folder

    def push(self, names: Iterable[str] | None = None) -> None:
        """Keep these local files (all but hidden ones if None) that changed since the last time, in FIRST..LAST."""
        if self.uri is None:
            return
        there = (path.name for path in self.folder.iterdir() if not path.name.startswith("."))
        for name in _in_order(there) if names is None else names:
            path = self.folder / name
            about = path.stat()
            state = (about.st_mtime_ns, about.st_size)
            if self._pushed.get(name) != state:
                self._replace(path)
                self._pushed[name] = state

    def delete(self, name: str) -> None:
        """Let go of a file, here and there; one that is not there is gone already."""
        (self.folder / name).unlink(missing_ok=True)
        self._pushed.pop(name, None)
        if self.uri is not None and name in self.list():
            self._try(lambda files, base: files.delete_file(f"{base}/{name}"))

    def restart(self) -> None:
        """Let the local folder hold exactly what is kept at the URI: a worker starts from there wherever it runs."""
        if self.uri is None:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.fetch()
        for path in self.folder.iterdir():
            self._pushed[path.name] = (path.stat().st_mtime_ns, path.stat().st_size)

    def forget_copy(self) -> None:
        """Delete the local copy of what is kept at the URI."""
        if self.uri is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _replace(self, path: Path) -> None:
        def replace(files: FileSystem, base: str) -> None:
            replace_file(files, path, f"{base}/{path.name}")

        self._try(replace)

    def _fetch(self, name: str, found: FoundFile) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        temporary = path.with_name(f".{name}.{os.getpid()}")

        def copy(files: FileSystem, base: str) -> None:
            with files.open_input_stream(f"{base}/{name}") as source, temporary.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)

        try:
            self._try(copy)
            # The time of writing tells later whether the copy is still the newest.
            os.utime(temporary, (found.written_s, found.written_s))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _try(self, use: Callable[[FileSystem, str], Result]) -> Result:
        assert self.uri is not None
        for delay_s in (*self._delays_s, None):
            try:
                files, base = open_uri(self.uri)
                return use(files, base)
            except OSError as error:
                # What a credential lacks, or a path that no one may write, does not mend by itself.
                if delay_s is None or isinstance(error, PermissionError):
                    raise PlaceGone(f"{self.uri}, where trial folders are kept, cannot be used: {error}") from error
                time.sleep(delay_s)
        raise AssertionError("unreachable")


def check_uri(uri: str) -> str:
    """The URI as it is kept: a path becomes file://; raises PlaceError for what cannot be used or holds a secret."""
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise PlaceError(
            f"resources.storage: expected a path or a URI of file://, s3:// or gs://, got the scheme {parts.scheme!r}"
        )
    if parts.username or parts.password or "access_key" in parts.query or "secret_key" in parts.query:
        raise PlaceError(
            "resources.storage: a URI is recorded and shown, so it holds no keys; expected s3://bucket/folder with "
            "credentials in the environment or the role of the nodes"
        )
    if not parts.scheme:
        return Path(uri).expanduser().absolute().as_uri()
    return uri.rstrip("/")


@lru_cache(maxsize=64)
def open_uri(uri: str) -> tuple[FileSystem, str]:
    """pyarrow's file system and the path in it; raises OSError where it does not answer, PlaceError for a bad URI."""
    try:
        files, base = FileSystem.from_uri(uri)
    except (ArrowInvalid, TypeError) as error:
        raise PlaceError(f"resources.storage: {uri!r} is no place: {error}") from error
    return files, str(base).rstrip("/")


def check_place(uri: str) -> None:
    """Write, read and delete a file below `uri`; raises PlaceError where that cannot be done."""
    try:
        files, base = open_uri(uri)
        if files.type_name == "local":
            files.create_dir(base)
        probe = f"{base}/.contourney-{os.getpid()}"
        with files.open_output_stream(probe) as stream:
            stream.write(b"probe")
        files.delete_file(probe)
    except OSError as error:
        raise PlaceError(
            f"resources.storage: cannot write {uri}: {error}; name another place with --storage, or give this machine "
            "and the nodes the credentials for it in their environment"
        ) from error


def join_uri(uri: str, *parts: str) -> str:
    """A place below a URI; options after `?` stay at the end."""
    base, mark, options = uri.partition("?")
    return base.rstrip("/") + "".join(f"/{part}" for part in parts) + mark + options


def found_files(files: FileSystem, base: str) -> dict[str, FoundFile]:
    """The files directly in a folder, none where it is missing; hidden ones and those half written are none."""
    return {PurePosixPath(one.path).name: _found(one) for one in _listed(files, base, recursive=False)}


def found_files_by_folder(files: FileSystem, base: str) -> dict[str, dict[str, FoundFile]]:
    """The files of every folder directly under `base`, with one listing for all."""
    found: dict[str, dict[str, FoundFile]] = {}
    for one in _listed(files, base, recursive=True):
        path = PurePosixPath(one.path)
        found.setdefault(path.parent.name, {})[path.name] = _found(one)
    return found


def _listed(files: FileSystem, base: str, *, recursive: bool) -> list[FileInfo]:
    listed = files.get_file_info(FileSelector(base, allow_not_found=True, recursive=recursive))
    return [one for one in listed if one.type is FileType.File and not one.base_name.startswith(".")]


def _found(info: FileInfo) -> FoundFile:
    return FoundFile(info.size, info.mtime_ns / 1e9)


def replace_file(files: FileSystem, path: Path, target: str) -> None:
    """Put a file at `target`, whole or not at all."""
    folder, _, name = target.rpartition("/")
    if files.type_name == "local":
        files.create_dir(folder)
    # Leaving an output stream early closes it, which would publish half a file: hence another name first.
    new = f"{folder}/.{name}.new"
    with path.open("rb") as source, files.open_output_stream(new) as stream:
        shutil.copyfileobj(source, stream, 1 << 20)
    written, expected = files.get_file_info(new).size, path.stat().st_size
    if written != expected:
        raise OSError(f"{new} has {written} bytes instead of {expected}")
    files.move(new, target)


def _is_copy(path: Path, found: FoundFile) -> bool:
    if not path.is_file():
        return False
    about = path.stat()
    settled = about.st_ctime > found.written_s + SETTLED_S
    return settled and about.st_size == found.bytes and abs(about.st_mtime - found.written_s) < 1e-3


def _in_order(names: Iterable[str]) -> list[str]:
    shown = [name for name in names if not name.startswith(".")]
    between = sorted(name for name in shown if name not in FIRST + LAST)
    return [name for name in (*FIRST, *between, *LAST) if name in shown]
