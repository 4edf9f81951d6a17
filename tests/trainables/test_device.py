"""Precision and threads."""

import cv2
import pytest
import torch

from trainables.device import autocast, choose_precision, has_bf16_units, set_threads

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f avx512_bf16 amx_tile", True), ("fpu amx_bf16", True), ("fpu avx2 avx512f", False), ("", False)],
)
def test_bf16_units_are_read_from_the_flags(tmp_path, flags, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert has_bf16_units(CPU, cpuinfo) is expected


def test_no_cpuinfo_means_no_bf16_units(tmp_path):
    assert not has_bf16_units(CPU, tmp_path / "absent")


def test_precision_asked_for_is_taken_and_auto_follows_the_units():
    assert choose_precision("bf16", CPU) == "bf16"
    assert choose_precision("fp32", CPU) == "fp32"
    assert choose_precision("auto", CPU) == ("bf16" if has_bf16_units(CPU) else "fp32")


def test_autocast_computes_in_the_precision():
    layer, x = torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2)
    with autocast(CPU, "bf16"):
        assert layer(x).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert layer(x).dtype == torch.float32


def test_threads_are_set_for_torch_and_opencv():
    before = torch.get_num_threads()
    set_threads(1)
    assert torch.get_num_threads() == cv2.getNumThreads() == 1
    set_threads(before)
