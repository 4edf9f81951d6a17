"""What a trial computes on: device, precision, memory format and threads."""

from pathlib import Path
from typing import Literal

import cv2
import torch

Precision = Literal["fp32", "bf16"]

# Convolutions are faster in it on CUDA and on CPUs, measured 8 to 15 % without bf16 units, more with them.
MEMORY_FORMAT = torch.channels_last
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def choose_device() -> torch.device:
    """The CUDA device that this process sees first, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16_units(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether bf16 arithmetic is done in hardware: on a CPU without, it would be slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not cpuinfo.is_file():
        return False
    flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "")
    return not BF16_FLAGS.isdisjoint(flags.split())


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """The precision asked for; `auto` is bf16 where the device has units for it."""
    if wanted != "auto":
        return wanted
    return "bf16" if has_bf16_units(device) else "fp32"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which a forward pass runs; bf16 has the range of fp32 and needs no scaling of gradients."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def set_threads(threads: int) -> None:
    """Let torch and OpenCV use this many CPU threads in this process."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
