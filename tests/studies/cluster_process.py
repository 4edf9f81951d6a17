"""A Ray cluster of several nodes on this machine, in a process of its own that knows nothing of this project.

Prints the head's address, then answers each line of standard input: a node's number is killed without notice.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(number) for number in listed.split()]


def lose(cluster: Cluster, node: Any) -> None:
    """Kill a node's processes as a power failure would: none is left to finish what it does, or to tell of another."""
    (raylet,) = node.all_processes["raylet"]
    others = children(raylet.process.pid)
    # Alive, the raylet would tell of each worker's death, and the node's agents would tell of the raylet's.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for one in others:
            with suppress(ProcessLookupError):
                os.kill(one, number)
        raylet.process.kill()
    cluster.remove_node(node, allow_graceful=False)


def main(nodes: int, cpus: int, gpus: int) -> None:
    # The head runs no trial: a driver is connected to it.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    started = [cluster.add_node(num_cpus=cpus, num_gpus=gpus, wait=False) for _ in range(nodes)]
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for line in sys.stdin:
        lose(cluster, started[int(line)])
        print("removed", flush=True)
    cluster.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
