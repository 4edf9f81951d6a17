"""What a trial takes and how many run at once, worked out against what Ray has."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studies.files.study_settings import ResourceSettings


class ResourceError(ValueError):
    """The resources asked for are not there."""


class RayNotStarted(RuntimeError):
    """Ray did not come up, or the cluster does not answer."""


@dataclass(frozen=True)
class Slots:
    """Resources of one trial in Ray's terms, trials at once, and compute threads a trial may use.

    `memory_fraction` is the share of its GPU's memory that a trial may take, None where it has all of it. Where `ranks`
    processes train a trial together, `per_trial` and `threads` are those of each.
    """

    per_trial: Mapping[str, float]
    workers: int
    threads: int
    memory_fraction: float | None = None
    ranks: int = 1


def plan(settings: ResourceSettings, nodes: Sequence[Mapping[str, float]]) -> Slots:
    """Fit the settings to nodes that have these resources (`CPU`, `GPU`); raises ResourceError.

    A trial runs on one node. The nodes are those of now: a cluster that grows is told by resources.workers.
    """
    if settings.gpus_per_trial > 1:
        return _plan_ranks(settings, nodes)
    gpus = sum(node.get("GPU", 0.0) for node in nodes)
    wanted = settings.workers
    gpu = settings.gpu
    if gpu == "auto":
        # With more workers asked for than GPUs there are, trials share a GPU.
        gpu = 0.0 if gpus == 0 else 1.0 if wanted == "auto" else 1 / math.ceil(wanted / gpus)
    most = {kind: max((node.get(kind, 0.0) for node in nodes), default=0.0) for kind in ("CPU", "GPU")}
    where = "this Ray" if len(nodes) == 1 else "the largest node of this Ray"
    if gpu > most["GPU"]:
        raise ResourceError(
            f"resources.gpu: a trial asks for {gpu:g} GPU, {where} has {most['GPU']:g}; set resources.gpu=auto, start "
            "where there are GPUs, or name a cluster with --address"
        )
    if settings.cpu > most["CPU"]:
        raise ResourceError(
            f"resources.cpu: a trial asks for {settings.cpu:g} CPU cores, {where} has {most['CPU']:g}; lower "
            "resources.cpu"
        )
    room = sum(_room(node, settings.cpu, gpu) for node in nodes)
    if room == 0:
        raise ResourceError(
            f"resources: a trial asks for {settings.cpu:g} CPU cores and {gpu:g} GPU, and no node has both; lower one"
        )
    workers = room if wanted == "auto" else min(wanted, room)
    per_trial = {"cpu": settings.cpu} | ({"gpu": gpu} if gpu > 0 else {})
    return Slots(per_trial, workers, max(1, math.floor(settings.cpu)), gpu if 0 < gpu < 1 else None)


def _plan_ranks(settings: ResourceSettings, nodes: Sequence[Mapping[str, float]]) -> Slots:
    """Trials of several processes with a GPU each, which may lie on several nodes; on CPUs only if told so."""
    ranks, cpu, gpu = settings.gpus_per_trial, settings.cpu, 1.0 if settings.gpu == "auto" else settings.gpu
    if gpu not in (0.0, 1.0):
        raise ResourceError(
            f"resources.gpu: got {gpu:g} with resources.gpus_per_trial={ranks}, whose processes have a whole GPU each; "
            "leave resources.gpu at auto, or set it to 0 to train on CPUs"
        )
    room = sum(_room(node, cpu, gpu) for node in nodes)
    if room < ranks:
        has = {kind: sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")}
        raise ResourceError(
            f"resources.gpus_per_trial: {ranks} processes with {gpu:g} GPU and {cpu:g} CPU cores each do not fit into "
            f"this Ray with {has['GPU']:g} GPU and {has['CPU']:g} CPU cores; lower it or resources.cpu"
            + ("" if gpu == 0 else ", or set resources.gpu=0 to train each trial in as many processes on CPUs")
        )
    workers = room // ranks if settings.workers == "auto" else min(settings.workers, room // ranks)
    per_rank = {"cpu": cpu} | ({"gpu": gpu} if gpu > 0 else {})
    return Slots(per_rank, workers, max(1, math.floor(cpu)), ranks=ranks)


def _room(node: Mapping[str, float], cpu: float, gpu: float) -> int:
    """Trials that fit on a node; a share of a GPU lies on one GPU."""
    room = math.floor(node.get("CPU", 0.0) / cpu + 1e-9)
    if gpu == 0:
        return room
    gpus = node.get("GPU", 0.0)
    return min(room, math.floor(gpus / gpu + 1e-9) if gpu >= 1 else int(gpus) * math.floor(1 / gpu + 1e-9))
