"""Arrays of an .npz file: their shapes from headers, their numbers without running any code."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from trainables.data.errors import DataError

DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def header_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of one array, read from its header alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            held = sorted(member.removesuffix(".npy") for member in archive.namelist())
            if name not in held:
                raise DataError(f"{path} has no array {name!r} but {', '.join(held)}: set data.npz to these names")
            with archive.open(f"{name}.npy") as file:
                version = npy.read_magic(file)
                read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape: tuple[int, ...] = read_header(file)[0]
                return shape
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(f"{path} is truncated or no .npz file ({error}): replace it") from error


def read_array(path: Path, name: str) -> np.ndarray:
    """One array as stored."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[name])
    except DAMAGE as error:
        raise DataError(f"{name!r} of {path} cannot be read ({error}): expected an array of numbers") from error


def as_bytes(stored: np.ndarray, where: str) -> np.ndarray:
    """The same whole numbers as uint8; DataError for anything else."""
    if stored.dtype.kind not in "iufb":
        raise DataError(f"{where} has type {stored.dtype}: expected whole numbers from 0 to 255")
    low, high = stored.min(initial=0), stored.max(initial=0)
    whole = stored.dtype.kind != "f" or bool((np.isfinite(stored) & (stored == np.floor(stored))).all())
    if not whole or low < 0 or high > 255:
        raise DataError(f"{where} has values from {low:g} to {high:g}: expected whole numbers from 0 to 255")
    return np.ascontiguousarray(stored.astype(np.uint8))
