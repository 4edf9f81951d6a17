"""Memory of a trial: kept between steps, given back at its end, and told when it runs out."""

import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

Result = TypeVar("Result")

# glibc's mallopt (malloc.h).
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 2**31 - 1
LARGEST_MMAP_THRESHOLD = 2**25


def keep_freed_memory() -> None:
    """Let glibc reuse the large blocks that every training step frees, instead of mapping and clearing new pages.

    Measured 5 to 10 % of a U-Net's step on a CPU. Does nothing with another C library.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def limit_memory(device: torch.device, fraction: float) -> None:
    """Let this process allocate at most a share (0 to 1) of a CUDA device's memory, beyond which it is out of memory.

    Trials that share a device then fail alone. Does nothing on a CPU, where the operating system limits processes.
    """
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(fraction, device)


def release_memory(device: torch.device) -> None:
    """Give memory that nothing refers to any more back to the device and the system."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


# What torch says where memory is short: its allocator on the CPU, oneDNN's kernels, cuBLAS and cuDNN.
SHORT_OF_MEMORY = (
    "can't allocate memory",
    "could not create a primitive",
    "could not create a memory object",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


@contextmanager
def out_of_memory_told() -> Iterator[None]:
    """Raise torch.OutOfMemoryError where another allocator than CUDA's fails too."""
    try:
        yield
    except MemoryError as error:
        raise torch.OutOfMemoryError(f"out of memory: {error}") from error
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or not any(words in str(error) for words in SHORT_OF_MEMORY):
            raise
        raise torch.OutOfMemoryError(str(error)) from error


def while_it_fits(run: Callable[[int], Result], batch: int, device: torch.device) -> tuple[Result, int]:
    """`run` of the largest of batch, half of it, … that memory allows, and that size.

    Raises torch.OutOfMemoryError where one image does not fit.
    """
    while True:
        try:
            with out_of_memory_told():
                return run(batch), batch
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        # Not while the error lives, whose frames hold what did not fit.
        release_memory(device)
        batch //= 2
