"""The claim of a trial's folder: one process writes to it, also where its driver died before it."""

import errno
import fcntl
import os
import time
import weakref
from pathlib import Path

# A worker that outlives its driver ends within seconds; one in the middle of native code takes longer.
WAITS_S = 60.0
TRIES_EVERY_S = 0.1
HELD = frozenset({errno.EACCES, errno.EAGAIN})
# File systems without locks, as some that show an object store: there nothing fences.
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS})


class FolderHeld(RuntimeError):
    """Another process trains this trial and does not end."""


class Claim:
    """A POSIX record lock in the folder, which the kernel gives back when its process ends, however it ends.

    A driver that was killed may leave a worker in the middle of an epoch: what goes on with the trial waits here until
    that one is gone, or two would write the same files. Within one process claims do not exclude each other.
    """

    def __init__(self, folder: Path, waits_s: float = WAITS_S) -> None:
        """Take it, waiting `waits_s` seconds at most; raises FolderHeld."""
        handle = os.open(folder / ".claim", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._close = weakref.finalize(self, os.close, handle)
        end = time.monotonic() + waits_s
        while not _locked(handle):
            if time.monotonic() >= end:
                holder = os.pread(handle, 200, 0).decode(errors="replace")
                self._close()
                raise FolderHeld(
                    f"{holder or 'another process'} has trained in {folder} for {waits_s:g} s since this trial was to "
                    "go on; end it, then run the same command again"
                )
            time.sleep(TRIES_EVERY_S)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)

    def release(self) -> None:
        """Give it back."""
        self._close()


def _locked(handle: int) -> bool:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            return False
        if error.errno not in NO_LOCKS:
            raise
    return True
