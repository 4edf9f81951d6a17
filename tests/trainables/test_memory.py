"""Running out of memory, for real, in a process with little of it."""

import subprocess
import sys

import pytest
import torch

from trainables.memory import keep_freed_memory, out_of_memory_told, release_memory

STARVED = """
import resource, torch
from trainables.memory import out_of_memory_told
soft = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + 2**28
resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
try:
    with out_of_memory_told():
        torch.zeros(2**32)
except torch.OutOfMemoryError as error:
    print('told', type(error.__cause__).__name__)
"""


def test_the_cpu_allocators_failure_is_an_out_of_memory_error():
    done = subprocess.run([sys.executable, "-c", STARVED], capture_output=True, text=True, timeout=120)
    assert done.stdout == "told RuntimeError\n", done.stderr


def test_numpys_failure_is_an_out_of_memory_error():
    with pytest.raises(torch.OutOfMemoryError, match="too large"), out_of_memory_told():
        raise MemoryError("too large")


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="a size"), out_of_memory_told():
        raise RuntimeError("a size")


def test_memory_settings_are_harmless():
    keep_freed_memory()
    assert float(torch.ones(2**20).sum()) == 2**20
    release_memory(torch.device("cpu"))
