"""Where studies are recorded: storage and tracking, whether they answer, are whole and free, and their clocks."""

import fcntl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from search.lease import FileLease
from search.records.mlflow_store import TrackingError, check_tracking
from search.replacing import whole_studies
from search.storage import StorageError, connect_arguments, is_url, masked, open_storage, shown, storage_file
from studies.doctor.finding import Finding, Level, clock_finding
from studies.running.recording import answering
from studies.stored import study_names
from studies.workspace import Workspace

NONE_YET = "none yet: the first launch makes it"
# The Date of an HTTP answer tells whole seconds.
HTTP_DATE_S = 1.0
TIMEOUT_S = 10.0


def storage(workspace: Workspace) -> Iterator[Finding]:
    """Whether Optuna's storage can be read, is whole and free, and who holds studies."""
    path = storage_file(workspace.storage)
    name = "storage" if path is None else "journal" if not is_url(workspace.storage) else "SQLite storage"
    if path is not None and not path.is_file():
        yield Finding(name, Level.OK, f"{path}: {NONE_YET}")
        return
    try:
        studies = list(whole_studies(open_storage(workspace.storage).get_all_studies()))
    except StorageError as error:
        yield Finding(name, Level.PROBLEM, str(error), "the message says what; contourney changes nothing there")
        return
    yield Finding(name, Level.OK, f"{workspace.storage_shown}: {len(studies)} studies")
    if path is None:
        yield from _server(workspace.storage)
        return
    if not is_url(workspace.storage):
        yield from _journal(path)
    for study in studies:
        if _locked(FileLease(path, study).path):
            yield Finding("lease", Level.OK, f"study {study!r} is being run now")


def tracking(workspace: Workspace) -> Iterator[Finding]:
    """Whether MLflow answers, holds deleted experiments of our studies, and its clock."""
    uri = workspace.tracking
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        yield Finding("tracking", Level.OK, f"{shown(uri)}: {NONE_YET}")
        return
    try:
        check_tracking(uri, "contourney-doctor")
        with answering(workspace):
            active, deleted = _experiments(uri)
    except TrackingError as error:
        yield Finding("tracking", Level.PROBLEM, str(error), "studies cannot start without it")
        return
    yield Finding("tracking", Level.OK, f"{shown(uri)}: {len(active)} experiments")
    try:
        ours = set(study_names(workspace))
    except StorageError:
        ours = set()
    if blocked := sorted(deleted & ours):
        advice = "`mlflow experiments restore -x ID`, or `mlflow gc` and `contourney reconcile NAME`"
        found = f"deleted experiments of studies that are there: {', '.join(map(repr, blocked))}"
        yield Finding("experiments", Level.PROBLEM, found, advice)
    if uri.startswith(("http://", "https://")):
        yield from _http_clock(uri)


def _journal(path: Path) -> Iterator[Finding]:
    with path.open("rb") as journal:
        content_end = journal.seek(0, 2)
        journal.seek(max(0, content_end - 1))
        torn = journal.read(1) not in (b"", b"\n")
    if torn and not _locked(path):
        found = "the last line is torn: a process died while it wrote"
        yield Finding("journal", Level.WARNING, found, "nothing: the next launch or resume cuts it off and says so")
    lock = path.with_name(f"{path.name}.lock")
    if lock.is_symlink() or lock.exists():
        advice = f"if no such tool is running, delete it: the tool would wait 30 s for it; contourney does not ({lock})"
        yield Finding("journal", Level.WARNING, "a lock file of Optuna's own tools lies beside it", advice)


def _server(url: str) -> Iterator[Finding]:
    """Version, clock and holders of a PostgreSQL server."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    if not url.startswith("postgresql"):
        yield Finding("storage", Level.PROBLEM, f"{shown(url)[:40]}…", "use a journal, sqlite:/// or postgresql://")
        return
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_arguments(url))
    try:
        with engine.connect() as connection:
            version = connection.execute(text("show server_version")).scalar()
            before = time.time()
            there = float(connection.execute(text("select extract(epoch from clock_timestamp())")).scalar() or 0.0)
            after = time.time()
            holders = connection.execute(
                text(
                    "select distinct a.application_name from pg_locks l join pg_stat_activity a using (pid) "
                    "where l.locktype = 'advisory' and l.granted "
                    "and l.database = (select oid from pg_database where datname = current_database())"
                )
            ).scalars()
            names = sorted(holders)
    except SQLAlchemyError as error:
        reason = masked(str(getattr(error, "orig", None) or error).strip().splitlines()[0], url)
        yield Finding("PostgreSQL", Level.PROBLEM, reason, "start it, or correct OPTUNA_STORAGE")
        return
    yield Finding("PostgreSQL", Level.OK, f"version {version}")
    yield clock_finding("PostgreSQL", there - (before + after) / 2, (after - before) / 2)
    for name in names:
        yield Finding("lease", Level.OK, f"a study is being run now by process {name}")


def _experiments(uri: str) -> tuple[set[str], set[str]]:
    """Names of the active and of the deleted experiments."""
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    client = MlflowClient(tracking_uri=uri)

    def names(view: Any) -> set[str]:
        found, token = set(), None
        while True:
            page = client.search_experiments(view_type=view, page_token=token)
            found |= {experiment.name for experiment in page}
            token = page.token
            if not token:
                return found

    return names(ViewType.ACTIVE_ONLY), names(ViewType.DELETED_ONLY)


def _http_clock(uri: str) -> Iterator[Finding]:
    import requests

    try:
        before = time.time()
        date = requests.head(uri, timeout=TIMEOUT_S).headers.get("Date")
        after = time.time()
    except requests.RequestException:
        # It answered a moment ago; what it said then stands.
        return
    if date is not None:
        there = parsedate_to_datetime(date).timestamp()
        yield clock_finding("MLflow's server", there - (before + after) / 2, (after - before) / 2 + HTTP_DATE_S)


def _locked(path: Path) -> bool:
    """Whether a living process holds the lock of a file; a missing file is held by nobody."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
