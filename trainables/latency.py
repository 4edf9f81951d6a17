"""How long a model takes for one image, as someone who uses it would wait."""

import platform
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from trainables.data.split_data import SplitData
from trainables.inference import Inference, resize_logits

# The first runs choose algorithms and fill caches; the median of the others is told.
WARM_UP, RUNS = 2, 9
# Beyond it no further run is begun, so that a large model on a slow device costs a run more at most.
MOST_S = 0.5


@torch.no_grad()
def measure_latency(inference: Inference, data: SplitData) -> dict[str, float | int | str]:
    """Median milliseconds from the first image of a split, as it is stored, to its predicted mask at the mask's own
    size, one image at a time; with the number of runs, both sizes and the device. Random numbers are not drawn.
    """
    inference.model.eval()
    image_BHWC = np.array(data.images_NHWC[:1])
    shape = data.own_mask(0).shape

    def predict() -> None:
        resize_logits(inference.logits(image_BHWC), shape).max(dim=1).indices.to(torch.uint8).cpu()

    times_s = _timed(predict)
    return {
        "latency_ms": 1000 * statistics.median(times_s),
        "runs": len(times_s),
        "image": "×".join(map(str, image_BHWC.shape[1:3])),
        "mask": "×".join(map(str, shape)),
        "device": device_name(inference.device),
        "precision": inference.precision,
    }


def device_name(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The GPU's name, or the processor's with the number of threads that torch may use."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    threads = torch.get_num_threads()
    return f"{found[1] if found else platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"


def _timed(act: Callable[[], None]) -> list[float]:
    """Seconds of each run after warming up; of all there were, where these took too long for more."""
    times_s: list[float] = []
    started = time.perf_counter()
    while len(times_s) < WARM_UP + RUNS and (not times_s or time.perf_counter() - started < MOST_S):
        before = time.perf_counter()
        act()
        times_s.append(time.perf_counter() - before)
    return times_s[WARM_UP:] or times_s[-1:]
