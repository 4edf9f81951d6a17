"""All examinations, in the order in which a study would need what they look at."""

from studies.doctor.finding import Finding
from studies.doctor.machine import devices, disks, ray_and_clocks, versions
from studies.doctor.servers import storage, tracking
from studies.workspace import Workspace


def examine(workspace: Workspace, address: str | None) -> list[Finding]:
    """Every finding about this machine, the workspace, its servers, and Ray at `address` (one of its own if None)."""
    return [
        *versions(),
        *devices(),
        *disks(workspace),
        *storage(workspace),
        *tracking(workspace),
        *ray_and_clocks(address),
    ]
