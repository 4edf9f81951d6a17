"""Ray's start: one of this machine's own for a run, or a cluster that is there already."""

import json
import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import ray
from ray._private import ray_constants

from studies.running.ray_address import check_address, is_local
from studies.running.resources import RayNotStarted
from studies.running.shipped_code import EXPECTED, PACKAGES, code_of, user_modules
from studies.workspace import without_driver_variables

# Set before Ray starts: no telemetry, none of Ray's own logger files, no change of the working folder (relative
# database paths), our own signal handling and output.
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # The state that Ray would write to restore a run: Optuna holds it, and this one grows with the study.
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}
# How a user tells Ray who may speak to it.
AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
# What the processes of a cluster, started by others, need of it.
WORKER_ENVIRONMENT = ("RAY_CHDIR_TO_TRIAL_DIR", "NO_ALBUMENTATIONS_UPDATE")


@contextmanager
def local_or_cluster(
    address: str | None, import_paths: Iterable[str] = (), hidden: Iterable[str] = ()
) -> Iterator[None]:
    """A started Ray: the cluster at `address`, else one of this machine's own that ends with the run.

    To a cluster travel the project's packages and the user's modules that `import_paths` name. A Ray of this
    machine's own inherits neither the driver's variables nor those that `hidden` names, and is reached from this
    machine alone.
    """
    address = None if is_local(address) else address
    check_address(address)
    os.environ.update(RAY_ENVIRONMENT)
    # A worker's death is told by its trial; Tune would print its own traceback of it.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    travelling = None if address is None else runtime_env(import_paths)
    with without_driver_variables(hidden), _private() if address is None else nullcontext():
        _start_ray(address, travelling)
    try:
        yield
    finally:
        ray.shutdown()


def runtime_env(import_paths: Iterable[str]) -> dict[str, Any]:
    """What travels to a cluster's workers: code, its digests, and no variable of the driver's own environment."""
    code = code_of((*PACKAGES, *user_modules(import_paths)))
    return {
        "py_modules": list(code["places"].values()),
        "env_vars": {EXPECTED: json.dumps(code), **{name: RAY_ENVIRONMENT[name] for name in WORKER_ENVIRONMENT}},
    }


def ray_nodes() -> list[Mapping[str, float]]:
    """Resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextmanager
def _private() -> Iterator[None]:
    """Let a Ray that is started meanwhile listen on loopback alone, and obey who knows this process's token.

    By default its servers listen on every address, and its token lies where each run of the user's finds it. A user
    who says by Ray's own variables what holds is obeyed.
    """
    # Ray's own switch for desktops, whose firewalls would ask; its variable is read when Ray is imported.
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    said = {name: os.environ[name] for name in AUTHENTICATION if name in os.environ}
    if not said:
        os.environ["RAY_AUTH_TOKEN"] = _token()
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        # Ray itself sets the mode, which the processes that it has started keep.
        for name in set(AUTHENTICATION) - said.keys():
            os.environ.pop(name, None)


@cache
def _token() -> str:
    """One for all Rays of this process: Ray reads it once."""
    return secrets.token_hex(32)


def _start_ray(address: str | None, travelling: dict[str, Any] | None) -> None:
    try:
        ray.init(
            address=address or "local",
            include_dashboard=False if address is None else None,
            runtime_env=travelling,
            log_to_driver=False,
            logging_level="error",
            configure_logging=True,
        )
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if address is None:
            told = "a local Ray did not start in time", "A busy machine is the usual cause: try again"
        else:
            hint = "Is it up (`ray status`), is this its address, and is RAY_AUTH_MODE its head's (docs/cluster.md)?"
            told = f"the Ray cluster at {address} cannot be used", hint
        raise RayNotStarted(f"{told[0]}: {reason}; nothing was run. {told[1]}") from error
