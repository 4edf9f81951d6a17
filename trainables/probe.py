"""A few steps of one configuration: memory, seconds a step and an epoch. Runs as a process of its own.

Reads a job as JSON from standard input and writes its result as the last line of standard output.
"""

import json
import math
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainables.check import DEFAULT_ENTRY
from trainables.data.dataset import prepare
from trainables.data.repeats import shown_per_epoch
from trainables.data.split_data import SplitData
from trainables.data.splits import Split
from trainables.device import choose_device, set_threads
from trainables.memory import keep_freed_memory, limit_memory, out_of_memory_told
from trainables.protocol import Context
from trainables.segmentation import SegmentationTrainable
from trainables.settings import TrialSettings
from trainables.trial_run import load_entry
from trainables.validation import Validation

STEPS = 4
RESULT = "contourney-probe "


@dataclass(frozen=True)
class Probed:
    """What a configuration takes: bytes at the peak, seconds of a step (None where unknown) and of a whole epoch."""

    device: str
    memory_bytes: int
    total_bytes: int
    step_s: float | None
    epoch_s: float
    steps: int | None


class TimedTrainable(SegmentationTrainable):
    """Measures its validation."""

    validation_s = 0.0

    def _validated(self, data: SplitData) -> Validation:
        start = time.perf_counter()
        found = super()._validated(data)
        self.validation_s = time.perf_counter() - start
        return found


def probe(settings: TrialSettings, cache: Path, threads: int, memory_fraction: float | None) -> Probed:
    """Train and validate twice on a few batches, the second time measured; a user's own class for one whole epoch.

    Raises torch.OutOfMemoryError, and the ValueErrors of settings and data.
    """
    device = choose_device()
    if memory_fraction is not None:
        limit_memory(device, memory_fraction)
    set_threads(threads)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder, out_of_memory_told():
        context = Context(folder=Path(folder), cache=cache, device=device, threads=threads)
        step_s, epoch_s, steps = (
            _of_batches(settings, context) if settings.entry == DEFAULT_ENTRY else _of_an_epoch(settings, context)
        )
    return Probed(_named(device), _peak(device), _total(device), step_s, epoch_s, steps)


def _of_batches(settings: TrialSettings, context: Context) -> tuple[float, float, int]:
    train = prepare(settings.data, Split.TRAIN, context.cache)
    validation = prepare(settings.data, Split.VALIDATION, context.cache)
    few, seen = _first(train, STEPS * settings.batch_size), _first(validation, 2 * settings.batch_size)
    trainable = TimedTrainable()
    trainable.build(settings, context, few, seen)
    trainable.run_epoch(1)
    start = time.perf_counter()
    # The last epoch: by then every term of the loss is in force.
    trainable.run_epoch(settings.epochs)
    spent_s = time.perf_counter() - start - trainable.validation_s
    shown = int(shown_per_epoch(settings.augment, train).sum())
    steps = math.ceil(shown / settings.batch_size)
    step_s = spent_s / math.ceil(int(shown_per_epoch(settings.augment, few).sum()) / settings.batch_size)
    validation_s = trainable.validation_s * len(validation.names) / len(seen.names)
    return step_s, steps * step_s + validation_s, steps


def _of_an_epoch(settings: TrialSettings, context: Context) -> tuple[None, float, None]:
    trainable = load_entry(settings.entry)()
    trainable.setup(settings, context)
    start = time.perf_counter()
    trainable.run_epoch(1)
    return None, time.perf_counter() - start, None


def _first(data: SplitData, count: int) -> SplitData:
    return replace(
        data,
        names=data.names[:count],
        groups=data.groups[:count],
        images_NHWC=data.images_NHWC[:count],
        masks_NHW=data.masks_NHW[:count],
        pixels_NK=data.pixels_NK[:count],
        own_shapes_N2=data.own_shapes_N2[:count],
    )


def _named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _peak(device: torch.device) -> int:
    """Bytes of the device that torch took from it at most; on a CPU the process's largest resident set."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _total(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    meminfo = Path("/proc/meminfo").read_text(encoding="ascii").split()
    return int(meminfo[meminfo.index("MemTotal:") + 1]) * 1024


def main() -> None:
    """Answer the job of standard input."""
    job = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        settings = TrialSettings.model_validate_json(json.dumps(job["settings"]))
        answer = asdict(probe(settings, Path(job["cache"]), job["threads"], job["memory_fraction"]))
    except torch.OutOfMemoryError as error:
        answer = {"out_of_memory": str(error).splitlines()[0]}
    except ValueError as error:
        answer = {"refused": str(error)}
    print(RESULT + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
