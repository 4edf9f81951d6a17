"""Reading an archive as what anybody may have written: nothing is unpacked that its manifest does not declare."""

import hashlib
import json
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studies.upkeep.archive_file import CHUNK, DOCUMENTS, FORMAT, MANIFEST, VERSION, ArchiveError, Manifest, check_name

# Far above a manifest of 100,000 files and a study of 100,000 trials.
MANIFEST_BYTES, DOCUMENT_BYTES = 1 << 26, 1 << 30
# What zipfile raises over a file that is damaged, or of a kind that is never written here.
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError, ValueError, LookupError,
    OverflowError,
)  # fmt: skip


class Archive:
    """An archive whose manifest was read and whose directory is what the manifest says; members are not read yet."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self._path = path
        self._file = file
        infos = {info.filename: info for info in file.infolist()}
        if len(infos) != len(file.infolist()):
            raise ArchiveError(f"{path} has two members of one name; it was not written by contourney")
        for info in infos.values():
            self._check_kind(info)
        text = self._manifest(infos)
        self.digest = hashlib.sha256(text).hexdigest()
        self.manifest = self._parsed(text)
        declared = self.manifest.members
        if declared.keys() != infos.keys() - {MANIFEST}:
            odd = sorted(declared.keys() ^ (infos.keys() - {MANIFEST}))[0]
            raise self._damaged(f"{odd!r} is in its manifest or among its members, and not in both")
        for name, member in declared.items():
            if name not in DOCUMENTS:
                check_name(name)
            if infos[name].file_size != member.bytes:
                raise self._damaged(f"{name} has {infos[name].file_size} bytes, {member.bytes} are declared")
        for name in declared:
            if any(other in declared for other in _parents(name)):
                raise ArchiveError(f"{path}: {name!r} lies below a member that is a file")

    @property
    def files(self) -> list[str]:
        """Names of the members that are files of trials and reports."""
        return sorted(name for name in self.manifest.members if name not in DOCUMENTS)

    @property
    def unpacked_bytes(self) -> int:
        """What the members take when they are unpacked."""
        return sum(member.bytes for member in self.manifest.members.values())

    def document(self, name: str) -> Any:
        """The values of a JSON document, None where there is none; raises ArchiveError."""
        member = self.manifest.members.get(name)
        if member is None:
            return None
        if member.bytes > DOCUMENT_BYTES:
            raise ArchiveError(f"{self._path}: {name} would have {member.bytes:,} bytes; expected at most a gigabyte")
        content = b"".join(self._chunks(name))
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"{name} is no JSON: {error}") from error

    def extract(self, name: str, target: Path) -> None:
        """Write a member to a new file; raises ArchiveError unless it is what the manifest says."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in self._chunks(name):
                file.write(chunk)

    def _chunks(self, name: str) -> Iterator[bytes]:
        member = self.manifest.members[name]
        digest, left = hashlib.sha256(), member.bytes
        try:
            with self._file.open(name) as source:
                while chunk := source.read(min(CHUNK, left + 1)):
                    left -= len(chunk)
                    if left < 0:
                        break
                    digest.update(chunk)
                    yield chunk
        except _UNREADABLE as error:
            raise self._damaged(f"{name}: {error}") from error
        if left or digest.hexdigest() != member.sha256:
            raise self._damaged(f"{name} is not what the manifest says")

    def _manifest(self, infos: dict[str, zipfile.ZipInfo]) -> bytes:
        if MANIFEST not in infos:
            raise ArchiveError(f"{self._path} has no {MANIFEST}; expected a file that `contourney archive` wrote")
        if infos[MANIFEST].file_size > MANIFEST_BYTES:
            raise self._damaged(f"its manifest would have {infos[MANIFEST].file_size:,} bytes")
        with self._file.open(MANIFEST) as source:
            text = source.read(MANIFEST_BYTES + 1)
        if len(text) > MANIFEST_BYTES:
            raise self._damaged("its manifest has more bytes than it says")
        return text

    def _parsed(self, text: bytes) -> Manifest:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"its manifest is no JSON: {error}") from error
        if isinstance(data, dict) and data.get("format") == FORMAT and data.get("version") != VERSION:
            raise ArchiveError(
                f"{self._path} is of version {data.get('version')!r} of archives, and this contourney reads version "
                f"{VERSION}; restore it with the one that wrote it"
            )
        try:
            return Manifest.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the whole"
            raise self._damaged(f"its manifest, {place}: {first['msg']}") from error

    def _check_kind(self, info: zipfile.ZipInfo) -> None:
        mode = info.external_attr >> 16
        if info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
            raise ArchiveError(f"{self._path}: {info.filename!r} is no plain file; it was not written by contourney")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArchiveError(f"{self._path}: {info.filename!r} is encrypted or packed in a way that is not used here")

    def _damaged(self, why: str) -> ArchiveError:
        return _damaged(self._path, why)


@contextmanager
def reading(path: Path) -> Iterator[Archive]:
    """The archive at `path`; raises ArchiveError for any file that is none, without writing anything."""
    try:
        file = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise ArchiveError(f"no file {path}; expected an archive that `contourney archive` wrote") from error
    except _UNREADABLE as error:
        raise _damaged(path, str(error)) from error
    with file:
        try:
            archive = Archive(path, file)
        except ArchiveError:
            raise
        except _UNREADABLE as error:
            raise _damaged(path, str(error)) from error
        yield archive


def check_room(archive: Archive, folder: Path) -> None:
    """Raise ArchiveError where the disk of a folder does not hold what an archive declares."""
    free = shutil.disk_usage(folder).free
    if archive.unpacked_bytes > free:
        raise ArchiveError(
            f"the archive unpacks to {archive.unpacked_bytes:,} bytes, and {free:,} are free in {folder}"
        )


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _damaged(path: Path, why: str) -> ArchiveError:
    shown = " ".join("".join(one if one.isprintable() else "?" for one in why).split())[:300]
    return ArchiveError(f"{path} is damaged, or no archive: {shown}; restore from another copy")
