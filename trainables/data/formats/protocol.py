"""What every format offers; listing it opens no image and no mask."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np

from trainables.data.splits import Sample, Split

StampValue = str | int | float | None


class Dataset(Protocol):
    """A listed data set whose samples are read one at a time."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples of all splits in a fixed order, with unique names."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the label ids."""

    @property
    def ignored(self) -> frozenset[int]:
        """Label ids that do not count."""

    @property
    def default_split(self) -> str:
        """What `data.split: auto` means here."""

    @property
    def lists(self) -> Mapping[Split, tuple[str, ...]]:
        """Names given by split lists, if the data set has any."""

    @property
    def unpublished(self) -> Mapping[Split, str]:
        """Splits that the published split lacks: why, and what to do instead."""

    def missing(self, sample: Sample) -> str | None:
        """A sentence if the image or the mask does not exist; opens nothing."""

    def stamp(self, sample: Sample) -> list[StampValue]:
        """What changes when the sample's bytes change and costs no reading: sizes and times, or a generator's seed."""

    def content(self, sample: Sample) -> Iterator[bytes]:
        """The bytes of the image, then of the mask, for the fingerprint."""

    def shapes(self, sample: Sample) -> tuple[tuple[int, int, int], tuple[int, int]]:
        """(height, width, channels) of the image and (height, width) of the mask, without decoding pixels.

        Raises DataError for a file that is no image.
        """

    def image(self, sample: Sample) -> np.ndarray:
        """uint8 [H, W, C] with 1 or 3 channels; DataError if it cannot be decoded."""

    def mask(self, sample: Sample) -> np.ndarray:
        """Integer label ids [H, W]; DataError if it cannot be decoded."""
