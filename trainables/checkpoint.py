"""Checkpoints are read as data: nothing that is in one runs."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

# What torch raises for a file that is none, was cut short, or holds something other than tensors and plain values.
UNREADABLE = (
    pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, EOFError, OverflowError, MemoryError,
)  # fmt: skip


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or does not belong to the data or settings it is evaluated with."""


def read_checkpoint(path: Path, *keys: str) -> dict[str, Any]:
    """A checkpoint's content on the CPU; raises CheckpointError for a damaged file or one that lacks a key."""
    try:
        with warnings.catch_warnings():
            # Of a file that it did not write, torch warns and then refuses it.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise CheckpointError(f"{path} is no checkpoint, or a damaged one ({reason}); {_mend(path)}") from error
    if not isinstance(content, dict) or not set(keys) <= content.keys():
        raise CheckpointError(f"{path} is no checkpoint of a trial: expected {', '.join(keys)}; {_mend(path)}")
    return content


def _mend(path: Path) -> str:
    if path.name == "last.pt":
        return "restore a copy, or delete it: the trial then starts anew, and gives the same rows"
    return "restore a copy"
