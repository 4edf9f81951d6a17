"""What must hold of weights: the recorded mIoU comes out of them again, and what is frozen has not moved."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.command import Done, run_module
from benchmarks.expect import expect, expect_that
from benchmarks.records import Records

SIX_DIGITS = 5e-7


def check_recomputed(records: Records) -> tuple[float, float, dict[str, Any], Done]:
    """The best trial's weights, evaluated in a new process, give its recorded validation mIoU to six digits.

    Returns the recorded mIoU, the one computed again, under what it was computed, and the command.
    """
    best = records.best
    done = run_module("benchmarks.recompute", str(records.folder(best)), str(records.workspace / "cache")).must_exit(0)
    found = json.loads(done.stdout)
    came = mean_iou(found.pop("counts"))
    recorded = best.value
    assert recorded is not None  # it is complete
    expect_that(abs(came - recorded) < SIX_DIGITS, f"validation mIoU {recorded:.8f} to six digits", came)
    return recorded, came, found, done


def mean_iou(counts: list[list[int]]) -> float:
    """mIoU of a confusion matrix (rows target), over the classes with a target pixel; written for this check alone."""
    columns = [sum(row[k] for row in counts) for k in range(len(counts))]
    ious = [row[k] / (sum(row) + columns[k] - row[k]) for k, row in enumerate(counts) if sum(row)]
    return math.fsum(ious) / len(ious)


def check_encoder_unmoved(checkpoint: Path, weights: Path) -> dict[str, int]:
    """Every tensor of the encoder in a best.pt or last.pt is to the bit the one of the weights file (timm names), while
    the decoder trained; returns the numbers of tensors compared."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state = content["model"] if "model" in content else content["state"]["model"]
    file = load_file(weights)
    encoder = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    moved = []
    for name, tensor in encoder.items():
        key = name.removeprefix("encoder.").removeprefix("model.")
        expect_that(key in file, f"{key} in {weights.name}", "no such tensor")
        if not torch.equal(tensor, file[key].to(tensor.dtype)):
            moved.append(name)
    expect("tensors of the encoder that moved", moved, [])
    trained = [
        name
        for name, tensor in state.items()
        if name.startswith("decoder.") and name.endswith("num_batches_tracked") and int(tensor) > 0
    ]
    expect_that(bool(trained), "BatchNorms of the decoder that saw batches", trained)
    norms = [name for name in encoder if name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    return {"tensors": len(encoder), "batch_norm_statistics": len(norms), "decoder_batch_norms": len(trained)}
