"""Reading every image and mask of the opened splits once, whatever is wrong with some of them."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from studies.audit.target import AuditError
from trainables.data.dataset import SPLITTERS, split_mode
from trainables.data.errors import DataError
from trainables.data.formats.protocol import Dataset
from trainables.data.formats.table import open_dataset
from trainables.data.settings import DataSettings
from trainables.data.similarity import mask_thumbnail, thumbnail
from trainables.data.split_data import resize_image
from trainables.data.splits import IGNORE, Sample, Split

Watch = Callable[[Sequence[Sample]], Iterable[Sample]]
MOST_CLASSES = 255


@dataclass(frozen=True)
class Listed:
    """A data set as its files and names tell, nothing opened.

    `unused` counts the frames in the gap between two blocks, which no split has. `unnamed` says that there are no class
    names: any label is accepted, and its class called by its number.
    """

    settings: DataSettings
    dataset: Dataset
    mode: str
    parts: dict[Split, tuple[Sample, ...]]
    unused: int
    unnamed: bool

    @property
    def test(self) -> tuple[Sample, ...]:
        """The samples that are opened only if asked for."""
        return self.parts[Split.TEST]


@dataclass(eq=False)
class Seen:
    """What was read of one sample; of a test sample no labels are counted.

    `image` and `mask` are digests of pixels, `grey` and `labels` thumbnails; None where they could not be read.
    """

    sample: Sample
    split: Split
    problems: list[str] = field(default_factory=list)
    shape: tuple[int, int, int] | None = None
    image: str | None = None
    grey: np.ndarray | None = None
    mean: float = float("nan")
    mask: str | None = None
    labels: np.ndarray | None = None
    pixels: dict[int, int] = field(default_factory=dict)

    @property
    def is_test(self) -> bool:
        """Whether it lies in the test split, of which no classes are counted and no masks shown."""
        return self.split is Split.TEST

    @property
    def name(self) -> str:
        """The sample's name."""
        return self.sample.name


def list_data(settings: DataSettings) -> Listed:
    """List and divide the data set; raises DataError, AuditError where it holds no image."""
    dataset, unnamed = _opened(settings)
    if not dataset.samples:
        raise AuditError(f"{settings.root} holds no images: expected those of the format {settings.format}")
    mode = split_mode(dataset, settings)
    dropped = frozenset(settings.drop)
    if unknown := sorted(dropped - {sample.name for sample in dataset.samples}):
        raise AuditError(f"data.drop names {', '.join(unknown)}: no such image; names are file names without suffix")
    whole = SPLITTERS[mode](dataset, settings)
    parts = {split: tuple(one for one in samples if one.name not in dropped) for split, samples in whole.items()}
    unused = len(dataset.samples) - sum(map(len, whole.values()))
    return Listed(settings, dataset, mode, parts, max(0, unused), unnamed)


def _opened(settings: DataSettings) -> tuple[Dataset, bool]:
    """The data set, and whether it has no class names: any label may then be a class."""
    try:
        return open_dataset(settings), False
    except DataError:
        if settings.classes is None:
            any_label = {"classes": tuple(f"class_{index}" for index in range(MOST_CLASSES))}
            # Where this does not help either, the first finding is the one to tell.
            with suppress(DataError):
                return open_dataset(settings.model_copy(update=any_label)), True
        raise


def read_splits(listed: Listed, splits: Sequence[Split], watch: Watch) -> list[Seen]:
    """Read the samples of these splits; what cannot be read becomes a problem of its sample."""
    owner = {sample.name: split for split in splits for sample in listed.parts[split]}
    samples = [sample for split in splits for sample in listed.parts[split]]
    return [_read(listed, sample, owner[sample.name]) for sample in watch(samples)]


def _read(listed: Listed, sample: Sample, split: Split) -> Seen:
    seen = Seen(sample, split)
    if missing := listed.dataset.missing(sample):
        seen.problems.append(missing)
        return seen
    mask_shape = None
    try:
        image_HWC = listed.dataset.image(sample)
        seen.shape = (image_HWC.shape[0], image_HWC.shape[1], image_HWC.shape[2])
        seen.image = digest_of(image_HWC)
        # As the launch sees it, so that both find the same.
        size = listed.settings.size
        seen.grey = thumbnail(image_HWC if size is None else resize_image(image_HWC, size))
        seen.mean = float(image_HWC.mean())
    except DataError as error:
        seen.problems.append(str(error))
    try:
        mask_HW = listed.dataset.mask(sample)
        mask_shape = mask_HW.shape
        _take_mask(seen, mask_HW, sorted(listed.dataset.ignored))
    except DataError as error:
        if str(error) not in seen.problems:
            seen.problems.append(str(error))
    if seen.shape and mask_shape and seen.shape[:2] != mask_shape:
        seen.problems.append(
            f"mask of {sample.name!r} is {mask_shape[0]}x{mask_shape[1]} (height x width) but its image is "
            f"{seen.shape[0]}x{seen.shape[1]}"
        )
    return seen


def _take_mask(seen: Seen, mask_HW: np.ndarray, ignored: list[int]) -> None:
    values, counts = np.unique(mask_HW, return_counts=True)
    # A mask of one class may be many images' own: it identifies none.
    if len(set(values.tolist()) - set(ignored)) > 1:
        counted_HW = np.where(np.isin(mask_HW, ignored), IGNORE, mask_HW)
        seen.mask = digest_of(counted_HW)
        seen.labels = mask_thumbnail(counted_HW)
    if not seen.is_test:
        seen.pixels = dict(zip(values.tolist(), counts.tolist(), strict=True))


def digest_of(array: np.ndarray) -> str:
    """SHA-256 of an array's shape and values."""
    return hashlib.sha256(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
