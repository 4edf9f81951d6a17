"""This machine: Python and packages, devices, disks, and whether Ray comes up."""

import os
import platform
import shutil
import socket
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import ray
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from studies.doctor.finding import Finding, Level, clock_finding
from studies.running.ray_start import local_or_cluster, ray_nodes
from studies.running.resources import RayNotStarted, ResourceError
from studies.workspace import Workspace
from trainables.data.cache import readable

DISTRIBUTION = "contourney"
SHOWN = ("torch", "ray", "optuna", "mlflow", "albumentations")
INSTALL = "pip install -c constraints.txt ."
# A study writes checkpoints and a cache to the workspace; Ray its session and spilled objects to /tmp.
LITTLE, TOO_LITTLE = 5 * 2**30, 2**29
SHARED_MEMORY = 2**29
ANSWER_WITHIN_S = 60.0
CONNECT_WITHIN_S = 10.0


def versions() -> Iterator[Finding]:
    """Python and the required packages against what is installed."""
    try:
        wanted = metadata.requires(DISTRIBUTION) or []
        python = SpecifierSet(metadata.metadata(DISTRIBUTION)["Requires-Python"] or "")
    except metadata.PackageNotFoundError:
        yield Finding("versions", Level.WARNING, "contourney runs from a folder, not installed", INSTALL)
        return
    here = platform.python_version()
    if here in python:
        yield Finding("Python", Level.OK, here)
    else:
        yield Finding(
            "Python", Level.PROBLEM, f"{here}, expected {python}", "make a new environment with such a Python"
        )
    wrong, checked = [], 0
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        checked += 1
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} is {installed}, expected {requirement.specifier}")
    if wrong:
        yield Finding("packages", Level.PROBLEM, "; ".join(wrong), INSTALL)
    else:
        shown = ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN)
        yield Finding("packages", Level.OK, f"{checked} as required: {shown}")


def devices() -> Iterator[Finding]:
    """CUDA devices with memory and bf16, or the CPU."""
    driver = Path("/proc/driver/nvidia/version")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            with torch.cuda.device(index):
                bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
            found = f"{torch.cuda.get_device_name(index)}, {readable(free)} of {readable(total)} free, {bf16}"
            busy = free < total / 2
            advice = "others use it: see nvidia-smi, or choose another with CUDA_VISIBLE_DEVICES" if busy else ""
            yield Finding(f"CUDA device {index}", Level.WARNING if busy else Level.OK, found, advice)
        yield Finding("CUDA", Level.OK, f"{torch.version.cuda}{_driver(driver)}")
    elif driver.exists():
        advice = "update the driver, or install the torch that fits it; check CUDA_VISIBLE_DEVICES"
        found = f"torch {torch.__version__} sees no device, but there is a driver{_driver(driver)}"
        yield Finding("CUDA", Level.PROBLEM, found, advice)
    else:
        cores = len(os.sched_getaffinity(0))
        yield Finding("devices", Level.OK, f"no CUDA device: trials train on {cores} CPU cores")


def disks(workspace: Workspace) -> Iterator[Finding]:
    """Free bytes where a study writes, and the size of shared memory."""
    for what, path in (("workspace", workspace.root), ("/tmp", Path("/tmp"))):
        place = path
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        level = Level.OK if free >= LITTLE else Level.WARNING if free >= TOO_LITTLE else Level.PROBLEM
        advice = "free some (contourney clean --all), or use a workspace on another disk (--workspace)"
        if path == Path("/tmp"):
            advice = "free some: Ray keeps its session there"
        yield Finding(
            f"disk of {what}", level, f"{readable(free)} free at {place}", advice if level != Level.OK else ""
        )
    shared = Path("/dev/shm")
    if shared.is_dir():
        total = shutil.disk_usage(shared).total
        little = total < SHARED_MEMORY
        advice = "in a container, start it with --shm-size=2g: Ray falls back to the disk otherwise" if little else ""
        yield Finding("shared memory", Level.WARNING if little else Level.OK, f"{readable(total)} at /dev/shm", advice)


def ray_and_clocks(address: str | None) -> Iterator[Finding]:
    """Whether Ray starts here or the cluster answers, what it has, and its nodes' clocks."""
    where = "local Ray" if address is None else f"Ray at {address}"
    if refusal := _unreachable(address or ""):
        yield Finding(where, Level.PROBLEM, refusal, "is it up (`ray status` on its head), and is this its address?")
        return
    try:
        with local_or_cluster(address):
            nodes = ray_nodes()
            cpus, gpus = (sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
            found = f"{ray.__version__}; {len(nodes)} nodes, {cpus:g} CPU cores, {gpus:g} GPUs"
            yield Finding(where, Level.OK, found)
            if address is not None:
                yield from _node_clocks()
    except (RayNotStarted, ResourceError) as error:
        yield Finding(where, Level.PROBLEM, str(error), "see the message; `ray status` on the head tells of a cluster")


def _unreachable(address: str) -> str | None:
    """Why host:port cannot be reached; Ray itself would try for many minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        return None
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_WITHIN_S).close()
    except OSError as error:
        return f"nobody listens at {address}: {error.strerror or error}"
    return None


def _node_clocks() -> Iterator[Finding]:
    def now() -> float:
        return time.time()

    # A function of its own is sent by value: the nodes need none of our code for it.
    task = ray.remote(num_cpus=0)(now)
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            name = f"node {node['NodeManagerAddress']}"
            try:
                # The first call starts a worker, which takes seconds.
                ray.get(task.options(scheduling_strategy=there).remote(), timeout=ANSWER_WITHIN_S)
                before = time.time()
                then = ray.get(task.options(scheduling_strategy=there).remote(), timeout=ANSWER_WITHIN_S)
                after = time.time()
            except ray.exceptions.GetTimeoutError:
                found = f"runs nothing within {ANSWER_WITHIN_S:.0f} s"
                yield Finding(name, Level.PROBLEM, found, "look at its logs (/tmp/ray/session_latest/logs)")
                continue
            yield clock_finding(name, then - (before + after) / 2, (after - before) / 2)


def _driver(path: Path) -> str:
    if not path.exists():
        return ""
    words = path.read_text(encoding="utf-8").split()
    version = next((word for word in words if word[0].isdigit() and "." in word), "unknown")
    return f", driver {version}"
