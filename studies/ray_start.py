"""Ray's start: one of this machine's own for a run, or a cluster that is there already."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from studies.resources import RayNotStarted
from studies.workspace import without_driver_variables

# Set before Ray starts: no telemetry, none of Ray's own logger files, no change of the working folder (relative
# database paths), our own signal handling and output.
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


@contextmanager
def local_or_cluster(address: str | None) -> Iterator[None]:
    """A started Ray: the cluster at `address`, else one of this machine's own that ends with the run."""
    os.environ.update(RAY_ENVIRONMENT)
    # A worker's death is told by its trial; Tune would print its own traceback of it.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with without_driver_variables():
        _start_ray(address)
    try:
        yield
    finally:
        ray.shutdown()


def _start_ray(address: str | None) -> None:
    try:
        ray.init(
            address=address or "local",
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level="error",
            configure_logging=True,
        )
    except Exception as error:
        where = f"the cluster at RAY_ADDRESS={address}" if address else "a local Ray"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RayNotStarted(
            f"{where} did not start in time: {reason}; nothing was run. A busy machine is the usual cause: try again"
        ) from error
