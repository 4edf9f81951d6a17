"""The ports that a local Ray opens, read from the kernel: what docs/security.md says of them."""

import os
from pathlib import Path

import pytest
import ray

from studies.ray_start import local_or_cluster

pytestmark = pytest.mark.slow
LISTENS = "0A"
DASHBOARD = 8265


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


def test_a_local_ray_opens_no_dashboard_and_closes_what_it_opened() -> None:
    before = listening()
    with local_or_cluster(None):
        assert ray.is_initialized()
        opened = listening() - before
    assert opened
    assert DASHBOARD not in {port for _, port in opened}
    assert listening() <= before
