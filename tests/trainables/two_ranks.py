"""Functions run in two real processes that meet over gloo."""

import multiprocessing
import pickle
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from trainables.device import set_threads
from trainables.distributed import DistributedRanks, joined, meeting

WAIT_S = 120


def on_two_ranks(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function(ranks, *arguments)` returns on rank 0 and on rank 1."""
    context = multiprocessing.get_context("spawn")
    store = meeting("127.0.0.1")
    ends, processes = [], []
    for rank in range(2):
        here, there = context.Pipe()
        more = (there, store.port, rank, function, arguments)
        processes.append(context.Process(target=_run, args=more, daemon=True))
        processes[-1].start()
        ends.append(here)
    try:
        results = []
        for rank, end in enumerate(ends):
            assert end.poll(WAIT_S), f"rank {rank} did not answer"
            results.append(pickle.loads(end.recv_bytes()))  # noqa: S301 - what our own process wrote
        return results
    finally:
        for process in processes:
            process.kill()
            process.join()


def _run(end: Connection, port: int, rank: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    set_threads(1)
    store = meeting("127.0.0.1", port)
    with joined(store, rank, 2, torch.device("cpu")) as ranks:
        assert isinstance(ranks, DistributedRanks)
        end.send_bytes(pickle.dumps(function(ranks, *arguments)))
        # Nobody leaves while another still needs the store.
        ranks.sum(torch.zeros(1))
