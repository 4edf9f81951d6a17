"""What a trial takes and how many run at once, worked out against what Ray has."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from studies.study_settings import ResourceSettings


class ResourceError(ValueError):
    """The resources asked for are not there."""


class RayNotStarted(RuntimeError):
    """Ray did not come up, or the cluster does not answer."""


@dataclass(frozen=True)
class Slots:
    """Resources of one trial in Ray's terms, trials at once, and compute threads a trial may use."""

    per_trial: Mapping[str, float]
    workers: int
    threads: int


def plan(settings: ResourceSettings, has: Mapping[str, float]) -> Slots:
    """Fit the settings to a cluster that has `has` (Ray's `cluster_resources`); raises ResourceError."""
    cpus, gpus = has.get("CPU", 0.0), has.get("GPU", 0.0)
    wanted = settings.workers
    gpu = settings.gpu
    if gpu == "auto":
        # With more workers asked for than GPUs there are, trials share a GPU.
        gpu = 0.0 if gpus == 0 else 1.0 if wanted == "auto" else 1 / math.ceil(wanted / gpus)
    if gpu > gpus:
        raise ResourceError(
            f"resources.gpu: a trial asks for {gpu:g} GPU, this Ray has {gpus:g}; set resources.gpu=auto, start where "
            "there are GPUs, or name a cluster with RAY_ADDRESS"
        )
    if settings.cpu > cpus:
        raise ResourceError(
            f"resources.cpu: a trial asks for {settings.cpu:g} CPU cores, this Ray has {cpus:g}; lower resources.cpu"
        )
    room = math.floor(cpus / settings.cpu + 1e-9)
    if gpu > 0:
        room = min(room, math.floor(gpus / gpu + 1e-9) if gpu >= 1 else int(gpus) * math.floor(1 / gpu + 1e-9))
    workers = room if wanted == "auto" else min(wanted, room)
    per_trial = {"cpu": settings.cpu} | ({"gpu": gpu} if gpu > 0 else {})
    return Slots(per_trial, max(1, workers), max(1, math.floor(settings.cpu)))
