"""Whose fault an error is: the sampler's or pruner's, which may be the user's own, rather than the storage's."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import StorageInternalError

from search.storage import StorageLost


class AlgorithmFailed(RuntimeError):
    """The sampler or the pruner raised; what was recorded stands, and the study can go on once it is mended.

    `traceback` has the whole of it.
    """

    def __init__(self, kind: str, algorithm: object, error: Exception) -> None:
        name = f"{type(algorithm).__module__}.{type(algorithm).__qualname__}"
        what = " ".join(f"{type(error).__name__}: {error}".split())
        super().__init__(
            f"search.{kind}: {name} raised {what[:500]}; the driver ended in order and open trials wait: mend it, then "
            "go on with `contourney resume` (`contourney status --json` has the traceback)"
        )
        self.traceback = "".join(traceback.format_exception(error))


@contextmanager
def blamed(kind: str, algorithm: object) -> Iterator[None]:
    """Raise AlgorithmFailed for what the study's sampler or pruner (`kind`) raises while it is asked."""
    try:
        yield
    except (StorageLost, StorageInternalError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and _of_storage(error):
            raise
        raise AlgorithmFailed(kind, algorithm, error) from error


def _of_storage(error: Exception) -> bool:
    """Whether the error was raised below the storage, as by a full disk under a journal."""
    return any(
        str(frame.f_globals.get("__name__")).startswith(("optuna.storages", "search.storage"))
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )
