"""Where a study's things are: storage, tracking, trial folders, cache, reports."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.storage import StorageError, is_url, shown

# Addresses and credentials that only the driver needs; workers get none of them.
DRIVER_VARIABLES = (
    "OPTUNA_STORAGE",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    # Of an MLflow server started from the same environment.
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_STORE_URI",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICEFILE",
)


@dataclass(frozen=True)
class Workspace:
    """The folder of a team's or a laptop's studies, with the storage and the tracking server they are recorded in."""

    root: Path
    storage: str
    tracking: str
    artifacts: str | None

    @classmethod
    def open(cls, root: Path) -> "Workspace":
        """The workspace at `root`, with OPTUNA_STORAGE and MLFLOW_TRACKING_URI where they are set.

        Raises StorageError where both name one database: their tables clash.
        """
        root = root.absolute()
        storage = os.environ.get("OPTUNA_STORAGE") or str(root / "optuna.journal")
        tracking = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
        if is_url(storage) and _database(storage) == _database(tracking):
            raise StorageError(
                "OPTUNA_STORAGE and MLFLOW_TRACKING_URI name one database, and both keep a table `alembic_version` "
                "there; expected two databases: create a second one and name it in MLFLOW_TRACKING_URI"
            )
        # A tracking server keeps artifacts where it was told to; without one they lie in the workspace.
        artifacts = None if tracking.startswith(("http://", "https://")) else (root / "artifacts").as_uri()
        return cls(root, storage, tracking, artifacts)

    @property
    def cache(self) -> Path:
        """Decoded images, one cache for all studies of the node."""
        return self.root / "cache"

    @property
    def storage_shown(self) -> str:
        """The storage as it may be shown, without a password."""
        return shown(self.storage)

    def study_folder(self, name: str) -> Path:
        """The folder of a study: a readable slug and a hash, since any text may be a name."""
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "study"
        return self.root / "studies" / f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

    def trial_folder(self, name: str, number: int) -> Path:
        """The folder of a trial: epochs.jsonl, best.pt, last.pt."""
        return self.study_folder(name) / "trials" / f"{number:05d}"

    def check_writable(self) -> None:
        """Raise StorageError if the workspace cannot be written; leaves nothing behind."""
        probe = self.root / f".write-{os.getpid()}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StorageError(
                f"cannot write the workspace {self.root}: {error.strerror}; choose another with --workspace"
            ) from error


@contextmanager
def without_driver_variables(more: Iterable[str] = ()) -> Iterator[None]:
    """Take storage and tracking variables, and `more`, out of the environment of what is started meanwhile."""
    taken = {name: os.environ.pop(name) for name in (*DRIVER_VARIABLES, *more) if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)


def _database(url: str) -> str:
    """A database URL without driver, user, password and options, so that two spellings of one place compare."""
    scheme, _, rest = url.partition("://")
    place = rest.split("?")[0].rsplit("@", 1)[-1]
    if scheme.startswith("sqlite"):
        return f"sqlite:{os.path.abspath(place.removeprefix('/'))}"
    host, _, name = place.partition("/")
    port = "" if ":" in host else ":5432" if scheme.startswith("postgres") else ""
    return f"{scheme.split('+')[0].replace('postgresql', 'postgres')}:{host}{port}/{name}"
