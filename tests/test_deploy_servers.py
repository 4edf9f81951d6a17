"""deploy/compose.yaml and the commands of docs/servers.md, checked and run as far as there is no Docker here."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import optuna
import pytest
from ruamel.yaml import YAML

from search.storage import open_storage
from tests.search.tabulated import open_bridge, run_side_by_side
from tests.servers import PASSWORD, Postgres, Served, free_port

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "deploy" / "compose.yaml"
DOC = ROOT / "docs" / "servers.md"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(COMPOSE.read_text())
    return found


def commands(*words: str) -> list[list[str]]:
    """The commands of the page that begin with these words, without `sudo -u postgres` and comments."""
    blocks = re.findall(r"```bash\n(.*?)```", DOC.read_text(), re.DOTALL)
    lines = [line.removeprefix("sudo -u postgres ") for block in blocks for line in block.splitlines()]
    found = [split for line in lines if (split := shlex.split(line, comments=True))[: len(words)] == list(words)]
    assert found, f"docs/servers.md has no command {words}"
    return found


def test_compose_has_what_a_team_needs(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"postgres", "mlflow", "dashboard"}
    for name, service in services.items():
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert all(str(port).startswith("127.0.0.1:") for port in service["ports"]), name
    for name in ("mlflow", "dashboard"):
        assert services[name]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    volumes = [volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())]
    assert {volume for volume in volumes if not volume.startswith(".")} == set(compose["volumes"])
    assert all((COMPOSE.parent / volume).is_file() for volume in volumes if volume.startswith("."))
    assert services["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"].endswith("/mlflow")
    assert services["dashboard"]["environment"]["OPTUNA_STORAGE"].endswith("/optuna")


def test_compose_holds_no_password(compose: dict[str, Any]) -> None:
    asked = "${POSTGRES_PASSWORD:?write it into deploy/.env}"
    for service in compose["services"].values():
        for key, value in service["environment"].items():
            assert ("PASSWORD" not in key) or value == asked
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value))
    assert "POSTGRES_PASSWORD=\n" in (COMPOSE.parent / "env.example").read_text()
    ignored = subprocess.run(["git", "check-ignore", "deploy/.env"], cwd=ROOT, capture_output=True, check=False)
    assert ignored.returncode == 0


def test_compose_installs_the_versions_that_are_tested(compose: dict[str, Any]) -> None:
    image = compose["services"]["mlflow"]["build"]["dockerfile_inline"]
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    installed = re.findall(r"([\w-]+)(?:\[\w+\])?==([\w.]+)", image)
    assert dict(installed).keys() == {"mlflow", "optuna", "optuna-dashboard", "psycopg"}
    assert all(pinned[name] == version for name, version in installed)


@pytest.mark.slow
def test_the_databases_are_made_dumped_and_restored_as_the_page_says(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in postgres.client_variables().items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("POSTGRES_USER", os.environ["PGUSER"])
    monkeypatch.chdir(tmp_path)
    # The image's script makes what the page's plain commands make.
    subprocess.run([str(ROOT / "deploy" / "create-databases.sh")], check=True)
    postgres.execute("drop database optuna")
    postgres.execute("drop database mlflow")
    try:
        for command in commands("createdb", "--owner"):
            subprocess.run(command, check=True)
        # libpq finds user's password in the environment: none in the URL.
        storage = f"postgresql+psycopg://contourney@127.0.0.1:{postgres.port}/optuna"
        study = optuna.create_study(study_name="kept", storage=open_storage(storage, write=True), direction="maximize")
        run_side_by_side(open_bridge(study, trials=5))
        for command in [*commands("pg_dump"), *commands("createdb", "--host"), *commands("pg_restore")]:
            subprocess.run([word.replace("localhost", "127.0.0.1") for word in command], check=True)
        restored = optuna.load_study(study_name="kept", storage=open_storage(f"{storage}_restored"))
        assert restored.trials == study.trials
    finally:
        for name in ("optuna", "mlflow", "optuna_restored"):
            postgres.execute(f"drop database if exists {name} with (force)")


@pytest.mark.slow
def test_mlflow_and_the_dashboard_start_as_the_page_says(
    compose: dict[str, Any], postgres: Postgres, tmp_path: Path
) -> None:
    environment = compose["services"]["mlflow"]["environment"]
    hosts = environment["MLFLOW_SERVER_ALLOWED_HOSTS"].partition(":-")[2].removesuffix("}")
    (command,) = commands("mlflow", "server")
    assert set(command) - {"127.0.0.1", "/srv/contourney/artifacts"} <= set(
        compose["services"]["mlflow"]["command"].split()
    )
    port, variables = free_port(), postgres.client_variables()
    here = [word.replace("5000", str(port)).replace("/srv/contourney", str(tmp_path)) for word in command]
    (tmp_path / "mlflow").mkdir()
    backend = f"postgresql+psycopg://contourney@127.0.0.1/{postgres.database('mlflow').rpartition('/')[2]}"
    server = Served(
        [sys.executable, "-m", *here], port, "/health", tmp_path / "mlflow",
        MLFLOW_BACKEND_STORE_URI=backend, MLFLOW_SERVER_ALLOWED_HOSTS=hosts, **variables,
    )  # fmt: skip
    try:
        server.start()
        listing = f"{server.url}/api/2.0/mlflow/experiments/search?max_results=1"
        assert urlopen(listing, timeout=30).status == 200
        with pytest.raises(HTTPError, match="403"):
            urlopen(Request(listing, headers={"Host": "elsewhere.example.org"}), timeout=30)
    finally:
        server.close()
    storage = postgres.database().replace(f":{quote(PASSWORD, safe='')}@", "@")
    (listed,) = commands("optuna", "studies")
    tool = str(Path(sys.executable).with_name("optuna"))
    subprocess.run([tool, *listed[1:-1], storage], env={**os.environ, **variables}, check=True, capture_output=True)
    (command,) = commands("optuna-dashboard")
    port = free_port()
    start = [str(Path(sys.executable).with_name("optuna-dashboard")), *command[1:-1], storage]
    dashboard = Served(
        [word.replace("8080", str(port)) for word in start], port, "/api/studies", tmp_path / "mlflow", **variables
    )
    try:
        dashboard.start()
    finally:
        dashboard.close()
