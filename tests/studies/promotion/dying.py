"""Promotions that kill themselves at named points, one after the other, each in a process of its own."""

import json
import os
import sys
import traceback
from pathlib import Path

from search.records.mlflow_store import MlflowStore
from studies.promotion.promote import promote
from studies.promotion.vault import TestVault
from studies.workspace import Workspace
from tests.studies.rayless import die, watch

# Name of a point: the write it belongs to, whether before or after it, and which call of it.
POINTS = {
    "opened": (TestVault, "open", "after", 1),
    "result-without-record": (TestVault, "record", "after", 1),
    "between-two": (TestVault, "record", "before", 2),
    "all-recorded": (MlflowStore, "register_model", "before", 1),
    "one-registered": (MlflowStore, "register_model", "after", 1),
}
WRITES = ((TestVault, "open"), (TestVault, "record"), (MlflowStore, "register_model"))


def promote_until(point: str, root: Path, name: str, rows: list[str]) -> int:
    """Fork a promotion that dies at `point`; returns its exit code, negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = 0

    def moment(owner: type, method: str, when: str) -> None:
        nonlocal calls
        if (owner, method, when) == POINTS[point][:3]:
            calls += 1
            if calls == POINTS[point][3]:
                die()

    try:
        watch(moment, WRITES)
        promote(name, Workspace.open(root), rows=rows)
    except BaseException:  # noqa: BLE001 - the edge of a process
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    root, name, rows = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    print(json.dumps({point: promote_until(point, root, name, rows) for point in POINTS}))
