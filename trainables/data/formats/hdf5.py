"""Read MATLAB 7.3 files, which are HDF5: arrays come transposed, cells are references."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from trainables.data.errors import DataError


@contextmanager
def opened_mat(path: Path) -> Iterator[h5py.File]:
    """The file, open for reading; a DataError that names it if it is damaged or lacks what is asked of it."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DataError:
        raise
    except (OSError, KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"{path} is damaged or not the published MATLAB 7.3 file ({error}): download it again"
        ) from error


def text_of(file: h5py.File, reference: h5py.Reference) -> str:
    """The string that a cell refers to: characters are stored as 16-bit codes."""
    return "".join(map(chr, np.asarray(file[reference]).ravel()))
