"""What travels to a cluster, and the check that a worker runs the driver's code on a node that has what it needs."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from search.ray_searcher import RaySession
from studies.files.study_settings import ResourceSettings
from studies.running import node_checks
from studies.running.node_checks import NodeLacks, cache_of, check_data, place_of
from studies.running.ray_start import local_or_cluster, runtime_env
from studies.running.resources import ResourceError, plan
from studies.running.shipped_code import (
    EXPECTED,
    PACKAGES,
    CodeDiffers,
    check_code,
    code_of,
    digest,
    import_paths,
    user_modules,
)
from studies.workspace import DRIVER_VARIABLES
from trainables.settings import TrialSettings


def test_import_paths_are_found_wherever_they_stand() -> None:
    settings = {
        "entry": "mine.training:Mine",
        "space": {"entry": {"choices": ["other:One", "a sentence: no path", 3]}},
        "data": {"root": "/data/x", "uri": "s3://bucket/x", "list": [{"loss": "mine.losses:tversky"}]},
    }
    assert import_paths(settings) == {"mine.training:Mine", "other:One", "mine.losses:tversky"}


def test_users_modules_are_those_that_are_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one_file.py").write_text("")
    (tmp_path / "a_package" / "inner").mkdir(parents=True)
    (tmp_path / "a_package" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    paths = ["one_file:X", "a_package.inner.deep:Y", "timm.models:Z", "json:loads", "trainables.x:Y", "absent:X"]
    assert user_modules(paths) == {"one_file": tmp_path / "one_file.py", "a_package": tmp_path / "a_package"}
    travelling = runtime_env(paths)
    assert set(travelling) == {"py_modules", "env_vars"}
    assert {Path(place).name for place in travelling["py_modules"]} == {*PACKAGES, "one_file.py", "a_package"}
    assert set(json.loads(travelling["env_vars"][EXPECTED])["digests"]) == {*PACKAGES, "one_file", "a_package"}
    assert not set(travelling["env_vars"]) & set(DRIVER_VARIABLES)


def test_a_digest_tells_names_and_contents_apart(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").write_text("2")
    first = digest(tmp_path)
    (tmp_path / "notes.txt").write_text("no code")
    assert digest(tmp_path) == first
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    second = digest(tmp_path)
    (tmp_path / "c.py").write_text("3")
    assert len({first, second, digest(tmp_path)}) == 3


def test_a_worker_with_other_code_is_told_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = code_of(PACKAGES)
    monkeypatch.setenv(EXPECTED, json.dumps(expected))
    check_code()
    other = {**expected, "host": "head", "version": "9.9", "digests": {**expected["digests"], "search": "0" * 64}}
    monkeypatch.setenv(EXPECTED, json.dumps(other))
    with pytest.raises(CodeDiffers, match=r"runs other code than the driver on head: search \(search lies at /.*9\.9"):
        check_code()
    monkeypatch.delenv(EXPECTED)
    check_code()


def test_data_must_be_on_the_node(tmp_path: Path) -> None:
    settings = TrialSettings.model_validate({"data": {"root": str(tmp_path)}})
    check_data(settings)
    missing = TrialSettings.model_validate({"data": {"root": str(tmp_path / "absent")}})
    with pytest.raises(NodeLacks, match=rf"data\.root: .*absent is not on node {socket.gethostname()}"):
        check_data(missing)
    check_data(TrialSettings())


def test_a_workspace_that_the_node_does_not_share_is_told(tmp_path: Path) -> None:
    job = {"folder": str(tmp_path / "w" / "00000"), "remote": None, "cache": str(tmp_path / "w" / "cache")}
    with pytest.raises(NodeLacks, match=r"does not see the trial's folder .*--storage"):
        place_of(job)
    (tmp_path / "w" / "00000").mkdir(parents=True)
    assert place_of(job).folder == tmp_path / "w" / "00000"
    assert cache_of(job) == tmp_path / "w" / "cache"


def test_a_remote_trial_starts_in_a_scratch_folder_that_dead_workers_leave_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTOURNEY_SCRATCH", str(tmp_path / "scratch"))
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    host = socket.gethostname()
    left = tmp_path / "scratch" / f"{host}-{int(dead.stdout)}"
    other = tmp_path / "scratch" / f"another-host-{int(dead.stdout)}"
    for folder in (left, other):
        folder.mkdir(parents=True)
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "last.pt").write_text("l")
    job = {"folder": "/of/the/driver/00003", "remote": (tmp_path / "place").as_uri(), "cache": "/of/the/driver/cache"}
    place = place_of(job)
    assert place.folder == tmp_path / "scratch" / f"{host}-{os.getpid()}" / "00003"
    assert [path.name for path in place.folder.iterdir()] == ["last.pt"]
    assert not left.exists()
    assert other.exists()
    assert cache_of(job) == node_checks.scratch_folder() / "cache"


def test_ray_client_is_refused() -> None:
    with pytest.raises(ResourceError, match="Ray Client, which runs no driver"), local_or_cluster("ray://head:10001"):
        pass


@pytest.mark.parametrize(
    ("settings", "nodes", "workers", "fraction"),
    [
        ({"cpu": 2.0}, [{"CPU": 3}, {"CPU": 3}], 2, None),
        ({"gpu": 1.0}, [{"CPU": 0}, {"CPU": 8, "GPU": 2}, {"CPU": 1, "GPU": 2}], 3, None),
        ({"gpu": 0.5}, [{"CPU": 8, "GPU": 1}, {"CPU": 8, "GPU": 1}], 4, 0.5),
        ({"gpu": 0.4}, [{"CPU": 8, "GPU": 2}], 4, 0.4),
        ({"workers": 6}, [{"CPU": 8, "GPU": 2}, {"CPU": 8, "GPU": 1}], 6, 0.5),
    ],
)
def test_trials_at_once_are_counted_node_by_node(
    settings: dict[str, float], nodes: list[dict[str, float]], workers: int, fraction: float | None
) -> None:
    slots = plan(ResourceSettings(**settings), nodes)  # type: ignore[arg-type]
    assert (slots.workers, slots.memory_fraction) == (workers, fraction)


@pytest.mark.parametrize(
    ("settings", "nodes", "words"),
    [
        ({"gpu": 2.0}, [{"CPU": 8, "GPU": 1}, {"CPU": 8, "GPU": 1}], "the largest node of this Ray has 1"),
        ({"cpu": 4.0}, [{"CPU": 3}, {"CPU": 3}], "the largest node of this Ray has 3"),
        ({"gpu": 1.0}, [{"CPU": 8}, {"GPU": 1}], "no node has both"),
    ],
)
def test_what_no_node_has_is_refused(settings: dict[str, float], nodes: list[dict[str, float]], words: str) -> None:
    with pytest.raises(ResourceError, match=words):
        plan(ResourceSettings(**settings), nodes)  # type: ignore[arg-type]


def session(retries: int) -> RaySession:
    return RaySession("s", None, lambda proposal: {}, lambda: False, retries)  # type: ignore[arg-type]


def test_a_process_may_die_as_often_as_retries_say() -> None:
    counting = session(2)
    for _ in range(2):
        counting.count_death("t", "The actor is dead because its worker process has died.")
        assert not counting.given_up
    counting.count_death("t", "Worker exit type: SYSTEM_ERROR")
    assert "more often than `resources.retries` allows" in counting.given_up["t"]
    assert "SYSTEM_ERROR" in counting.given_up["t"]


def test_lost_nodes_use_up_no_retry_but_there_is_an_end_to_them() -> None:
    counting = session(0)
    for _ in range(10):
        counting.count_death("t", "The actor died because its node has died. Node Id: 7")
        assert not counting.given_up
    counting.count_death("t", "The actor 7 is unavailable: The actor is temporarily unavailable: RpcError")
    assert "11 nodes were lost" in counting.given_up["t"]
