"""The ports that a local Ray opens, read from the kernel, and who may speak to it: what docs/security.md says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray._private import ray_constants

from studies.running.ray_address import check_address
from studies.running.ray_start import _private, local_or_cluster

pytestmark = pytest.mark.slow
LISTENS = "0A"
DASHBOARD = 8265
# 127.0.0.1, the same within IPv6, and ::1.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
ASK = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).get_all_node_info(timeout=30)
except AuthenticationError:
    print("refused")
"""


def family() -> set[int]:
    """This process and all below it."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening() -> set[tuple[str, int]]:
    """Addresses (hexadecimal, as the kernel has them) and ports that these processes listen on."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENS:
                address, _, port = words[1].partition(":")
                sockets[f"socket:[{words[9]}]"] = (address, int(port, 16))
    found = set()
    for process in family():
        try:
            handles = list(Path(f"/proc/{process}/fd").iterdir())
        except (FileNotFoundError, PermissionError):
            continue
        for handle in handles:
            try:
                found |= {sockets[os.readlink(handle)]} if os.readlink(handle) in sockets else set()
            except FileNotFoundError:
                continue
    return found


def asked(address: str, **more: str) -> str:
    """What another process of the same user hears from the Ray at `address`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    command = [sys.executable, "-c", ASK, address]
    return subprocess.run(command, env={**kept, **more}, capture_output=True, text=True, check=True).stdout.strip()


def test_a_local_ray_listens_on_loopback_to_its_own_driver_alone_and_closes_what_it_opened(tmp_path: Path) -> None:
    before, environment = listening(), dict(os.environ)
    with local_or_cluster(None):
        assert ray.is_initialized()
        opened = listening() - before
        address = ray.get_runtime_context().gcs_address
        check_address(address)
        mine = ray.get(ray.remote(lambda: os.environ["RAY_AUTH_TOKEN"]).remote())
        assert asked(address) == "refused"
        # A token that other runs of the user's, or a cluster, have made.
        (tmp_path / "token").write_text("0123456789abcdef" * 4)
        assert asked(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(tmp_path / "token")) == "refused"
        assert asked(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=mine) == ""
    assert len(opened) >= 5
    assert {host for host, _ in opened} <= LOOPBACK
    assert DASHBOARD not in {port for _, port in opened}
    assert listening() <= before
    # A cluster that is reached later asks for what its own user says.
    assert {n: v for n, v in os.environ.items() if n.startswith("RAY_AUTH")} == {
        n: v for n, v in environment.items() if n.startswith("RAY_AUTH")
    }


def test_whoever_says_how_ray_is_to_be_reached_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with _private():
        assert "RAY_AUTH_TOKEN" not in os.environ
        assert not ray_constants.ENABLE_RAY_CLUSTER
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert ray_constants.ENABLE_RAY_CLUSTER
