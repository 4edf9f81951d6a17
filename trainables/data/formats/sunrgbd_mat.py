"""SUN RGB-D's labels from SUNRGBD2Dseg.mat, one mask at a time: read whole, the file takes tens of gigabytes."""

from collections.abc import Mapping
from dataclasses import dataclass

import h5py
import numpy as np

from trainables.data.formats.hdf5 import opened_mat
from trainables.data.formats.protocol import StampValue
from trainables.data.splits import Sample


@dataclass(frozen=True)
class MatMasks:
    """Masks in `SUNRGBD2Dseg(n).seglabel`; `places` is each sample's n, from 0. See formats.files.MaskReader."""

    places: Mapping[str, int]

    def place(self, sample: Sample) -> StampValue:
        """The position in the struct array."""
        return self.places[sample.name]

    def content(self, sample: Sample) -> bytes:
        """The bytes of the label ids."""
        return np.ascontiguousarray(self.ids(sample)).tobytes()

    def shape(self, sample: Sample) -> tuple[int, int]:
        """From the header of the one array: MATLAB's arrays come transposed."""
        assert sample.mask is not None, sample.name
        with opened_mat(sample.mask) as file:
            width, height = self._label(file, sample).shape
        return height, width

    def ids(self, sample: Sample) -> np.ndarray:
        """Label ids [H, W]."""
        assert sample.mask is not None, sample.name
        with opened_mat(sample.mask) as file:
            stored_WH = np.asarray(self._label(file, sample))
        return stored_WH.T.astype(np.int32)

    def _label(self, file: h5py.File, sample: Sample) -> h5py.Dataset:
        return file[file["SUNRGBD2Dseg"]["seglabel"][self.places[sample.name], 0]]
