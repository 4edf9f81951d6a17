"""Folders built once per node and atomically: whoever finds one finds it whole."""

import fcntl
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.data.errors import DataError

HEADROOM = 64 * 2**20  # bytes that stay free beside a new folder


@contextmanager
def builder_lock(cache: Path) -> Iterator[None]:
    """Hold the cache's lock: one builder per node; it falls with its process, so that a killed builder blocks none."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "build.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Create `folder` by filling a temporary one beside it and renaming; call it under `builder_lock`.

    A failure of `fill` leaves nothing; what a killed builder left is removed by the next one of the same node.
    """
    temporary = folder.with_name(f"{folder.name}.building-{socket.gethostname()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        fill(temporary)
        for path in temporary.iterdir():
            sync(path)
        temporary.rename(folder)
        sync(folder.parent)
    except OSError:
        # On a file system shared by nodes another node may have been first; its folder is as good.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    """Replace a small text file so that readers see the old or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk, so that a crash of the machine cannot leave a renamed but empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_disk(cache: Path, needed: int) -> None:
    """Refuse, before a byte is written, what would not fit."""
    free = shutil.disk_usage(cache).free
    if needed + HEADROOM > free:
        raise DataError(
            f"the cache of decoded images needs {readable(needed)} in {cache}, where {readable(free)} are free: "
            "free some space, use a workspace on another disk, or set a smaller data.size"
        )


def readable(count: int) -> str:
    """A number of bytes in MiB or GiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
