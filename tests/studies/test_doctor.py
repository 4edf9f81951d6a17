"""`contourney doctor`: what it finds of a machine and its servers, and what it never shows."""

import json
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from optuna.storages.journal import JournalFileOpenLock

from search.lease import open_lease
from search.storage import open_storage
from studies.doctor.finding import Finding, Level, clock_finding
from studies.doctor.machine import devices, disks, ray_and_clocks, versions
from studies.doctor.servers import storage, tracking
from studies.workspace import Workspace
from tests.servers import PASSWORD, Postgres, Served
from tests.studies.running import contourney


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in ("OPTUNA_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Workspace.open(tmp_path / "w")


def of(findings: list[Finding], check: str) -> Finding:
    (found,) = [one for one in findings if one.check == check]
    return found


def test_this_machine_is_fit_for_its_tests(workspace: Workspace) -> None:
    found = [*versions(), *devices(), *disks(workspace)]
    assert not [one for one in found if one.level is Level.PROBLEM]
    assert {"Python", "packages", "disk of workspace", "disk of /tmp", "shared memory"} <= {one.check for one in found}
    assert "torch" in of(found, "packages").found


def test_a_missing_and_an_outdated_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["optuna>=99", "no-such-package-here>=1", 'pytest>=99; extra == "dev"', "numpy>=1"]
    monkeypatch.setattr("studies.doctor.machine.metadata.requires", lambda name: wanted)
    found = of(list(versions()), "packages")
    assert found.level is Level.PROBLEM
    assert "optuna is" in found.found
    assert "expected >=99" in found.found
    assert "no-such-package-here is missing" in found.found
    assert "pytest" not in found.found
    assert found.advice == "pip install -c constraints.txt ."


@pytest.mark.parametrize(
    ("ahead_s", "accuracy_s", "level", "words"),
    [
        (0.5, 0.0, Level.OK, "as here"),
        (-2.5, 1.0, Level.OK, "as here"),
        (10.0, 1.0, Level.WARNING, "10 s ahead of this machine's"),
        (-3600.0, 1.0, Level.PROBLEM, "3600 s behind this machine's"),
    ],
)
def test_clocks_are_judged_by_what_is_known_of_them(
    ahead_s: float, accuracy_s: float, level: Level, words: str
) -> None:
    found = clock_finding("a node", ahead_s, accuracy_s)
    assert (found.level, found.found) == (level, words)
    assert bool(found.advice) == (level is not Level.OK)


def test_a_new_workspace_is_fine_and_stays_as_it_is(workspace: Workspace) -> None:
    found = [*storage(workspace), *tracking(workspace), *disks(workspace)]
    assert {one.level for one in found} == {Level.OK}
    assert not workspace.root.exists()


def test_a_journal_torn_locked_or_held_is_said_and_left_alone(workspace: Workspace) -> None:
    path = Path(workspace.storage)
    optuna.create_study(study_name="s", storage=open_storage(workspace.storage, write=True))
    assert [one.level for one in storage(workspace)] == [Level.OK]
    with open_lease(workspace.storage, "s"):
        assert of(list(storage(workspace)), "lease").found == "study 's' is being run now"
    JournalFileOpenLock(str(path)).acquire()
    with path.open("ab") as journal:
        journal.write(b'{"op_code":1,')
    before = path.read_bytes()
    words = " ".join(f"{one.level} {one.found}" for one in storage(workspace))
    assert "warning the last line is torn" in words
    assert "warning a lock file of Optuna's own tools" in words
    path.write_bytes(b"no journal\n" + before)
    (only,) = storage(workspace)
    assert only.level is Level.PROBLEM
    assert "line 1" in only.found
    assert path.read_bytes() == b"no journal\n" + before


def test_a_deleted_experiment_of_a_study_is_a_problem(workspace: Workspace) -> None:
    optuna.create_study(study_name="s", storage=open_storage(workspace.storage, write=True))
    client = MlflowClient(workspace.tracking)
    for name in ("s", "another"):
        client.delete_experiment(client.create_experiment(name))
    found = of(list(tracking(workspace)), "experiments")
    assert found.level is Level.PROBLEM
    assert found.found == "deleted experiments of studies that are there: 's'"


@pytest.mark.slow
def test_servers_answer_with_versions_and_clocks(
    workspace: Workspace, postgres: Postgres, mlflow_server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()
    monkeypatch.setenv("OPTUNA_STORAGE", url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    place = Workspace.open(workspace.root)
    optuna.create_study(study_name="s", storage=open_storage(url, write=True))
    with open_lease(url, "s"):
        found = [*storage(place), *tracking(place)]
    assert {one.level for one in found} == {Level.OK}
    assert of(found, "PostgreSQL").found.startswith("version ")
    assert of(found, "clock of PostgreSQL").found == of(found, "clock of MLflow's server").found == "as here"
    assert "being run now by process" in of(found, "lease").found
    assert PASSWORD not in str(found)
    monkeypatch.setenv("OPTUNA_STORAGE", url.replace(str(postgres.port), "1"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = Workspace.open(workspace.root)
    found = [*storage(away), *tracking(away)]
    assert [one.level for one in found] == [Level.PROBLEM, Level.PROBLEM]
    assert "s3cret" not in str(found)
    assert "hunter2" not in str(found)


@pytest.mark.slow
def test_the_command_starts_ray_and_leaves_nothing(tmp_path: Path) -> None:
    done = contourney("doctor", "--workspace", str(tmp_path / "w"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert found["local Ray"]["level"] == "ok"
    assert not (tmp_path / "w").exists()


def test_a_cluster_that_is_not_there_is_told_at_once() -> None:
    (only,) = ray_and_clocks("127.0.0.1:1")
    assert only.level is Level.PROBLEM
    assert "nobody listens at 127.0.0.1:1" in only.found
