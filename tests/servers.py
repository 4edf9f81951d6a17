"""Real servers for the tests: a private PostgreSQL cluster, an MLflow tracking server, processes that can be ended.

They listen on the loopback address alone, keep everything in a folder of their own, and leave nothing behind.
"""

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

# With characters that a URL must escape, so that a masked, quoted or split password is tried too.
PASSWORD = "s3cret/of@the%database"
USER = "contourney"
BOUND_S = 180.0


def wait_for(condition: Callable[[], Any], what: str, bound_s: float = BOUND_S) -> Any:
    """The condition's first true value; fails after `bound_s` seconds."""
    end = time.monotonic() + bound_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {bound_s:.0f} s")


def free_port() -> int:
    """A port of the loopback address that nobody listens on now, and that the system gives to nobody unasked.

    A server that is stopped and started again in a test finds it free, however many connections others make meanwhile.
    """
    for port in SystemRandom().sample(range(20000, 32000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port between 20000 and 32000")


def postgres_binaries() -> Path | None:
    """The folder of initdb and pg_ctl, of Debian's package or on the PATH; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


class Postgres:
    """A PostgreSQL cluster in a temporary folder, where a password is asked of everyone."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        # Not under pytest's folder, which only its owner can enter: initdb refuses root.
        self._home = Path(tempfile.mkdtemp(prefix="contourney-postgres-"))
        self._owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(self._home, self._owner.pw_uid, self._owner.pw_gid)
        self.port = free_port()
        self._databases = 0
        passwords = self._home / "password"
        passwords.write_text(PASSWORD)
        os.chown(passwords, self._owner.pw_uid, self._owner.pw_gid)
        self._run(
            "initdb", "-D", "data", "-U", USER, "--pwfile=password", "--auth=scram-sha-256", "-E", "UTF8",
            "--locale=C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-t", "60", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server; `immediate` is a crash, after which it recovers from its log."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", mode, "stop")

    def restart(self) -> None:
        """Crash the server and start it again."""
        self.stop()
        self.start()

    def url(self, database: str, driver: str = "postgresql+psycopg") -> str:
        """The URL of a database, with user and password."""
        return f"{driver}://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def database(self, prefix: str = "optuna") -> str:
        """The URL of a new empty database."""
        self._databases += 1
        name = f"{prefix}_{self._databases}"
        self.execute(f"create database {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run one statement as the cluster's superuser."""
        import psycopg

        parts = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD, "dbname": database}
        with psycopg.connect(**parts, autocommit=True) as connection:  # type: ignore[arg-type]
            done = connection.execute(statement)  # type: ignore[call-overload]
            return done.fetchall() if done.description else []

    def tool(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run a client program of the server's own version, as `pg_dump`, against it."""
        return subprocess.run(
            [str(self._binaries / name), *arguments],
            env={**os.environ, **self.client_variables()},
            capture_output=True,
            check=True,
        )

    def client_variables(self) -> dict[str, str]:
        """The environment in which any client finds this server, its user and password."""
        variables = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": USER, "PGPASSWORD": PASSWORD}
        return variables | {"PATH": f"{self._binaries}{os.pathsep}{os.environ['PATH']}"}

    def close(self) -> None:
        """Stop the server and remove its folder."""
        if (self._home / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._home)

    def _run(self, name: str, *arguments: str) -> None:
        # What the server prints goes to its log: an inherited pipe would never be closed.
        with (self._home / "output").open("ab") as output:
            done = subprocess.run(
                [str(self._binaries / name), *arguments],
                cwd=self._home,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self._owner.pw_uid,
                group=self._owner.pw_gid,
                extra_groups=[],
                check=False,
            )
        said = [path.read_text()[-2000:] for path in (self._home / "output", self._home / "log") if path.exists()]
        assert done.returncode == 0, f"{name} failed:\n" + "\n".join(said)


class Served:
    """A server in a process group of its own, ready once it answers at `path`."""

    def __init__(self, command: list[str], port: int, path: str, cwd: Path, **variables: str) -> None:
        self._command = command
        self._cwd = cwd
        self._variables = variables
        self.url = f"http://127.0.0.1:{port}"
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        with (self._cwd / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env={**kept, **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self._answers, f"{self._command[2]} at {self.url}")

    def kill(self) -> None:
        """End the server and its workers at once."""
        assert self._process is not None
        process, self._process = self._process, None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """End the server where it runs."""
        if self._process is not None:
            self.kill()

    def _answers(self) -> bool:
        assert self._process is not None
        log = self._cwd / "server.log"
        assert self._process.poll() is None, log.read_text()[-3000:]
        try:
            with urlopen(f"{self.url}{self._path}", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Proxy:
    """A way to a server on this machine that can lose one answer: the server has done it, the client never knows."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lost: bytes | None = None
        self.losses = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answer_to(self, words: bytes) -> None:
        """Lose the answer to the next request that holds `words`, and the connection with it."""
        self._lost = words

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server, suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for source, other in ((client, server), (server, client)):
                    if source not in ready:
                        continue
                    content = source.recv(65536)
                    if not content:
                        return
                    other.sendall(content)
                    if source is client and self._lost is not None and self._lost in content:
                        self._lost = None
                        self.losses += 1
                        # The answer has come, so the request was carried out.
                        server.recv(65536)
                        return


def mlflow_server(folder: Path, backend: str) -> Served:
    """An MLflow tracking server that serves artifacts, not yet started; its records are in the database `backend`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--serve-artifacts", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Seven processes that wait for jobs of other kinds would start with it.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # On the command line the password of the database would stand in every list of processes.
        "MLFLOW_BACKEND_STORE_URI": backend,
    }
    return Served(command, port, "/health", folder, **quiet)


def optuna_dashboard(folder: Path, storage: str) -> Served:
    """An optuna-dashboard of the studies in `storage`, not yet started."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    code = "import os, sys; from optuna_dashboard._cli import main; sys.argv += [os.environ['OPTUNA_STORAGE']]; main()"
    command = [sys.executable, "-c", code, "--port", str(port), "--quiet"]
    return Served(command, port, "/api/studies", folder, OPTUNA_STORAGE=storage)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A PostgreSQL cluster; skips aloud where PostgreSQL is not installed."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = Postgres(binaries)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def running_mlflow(folder: Path, backend: str) -> Iterator[Served]:
    """A started MLflow server that is ended in the end."""
    server = mlflow_server(folder, backend)
    try:
        server.start()
        yield server
    finally:
        server.close()


def descendants(pid: int) -> list[int]:
    """The processes below a process, at this moment."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # pid (name) state parent ...; the name may hold anything.
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def seen_by(pid: int) -> tuple[str, bytes]:
    """Command line and environment of a process, empty where it is gone."""
    try:
        folder = Path(f"/proc/{pid}")
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"), (
            folder / "environ"
        ).read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return "", b""
