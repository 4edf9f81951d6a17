"""Settings of the data: which images, how split, at which size."""

import math
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from trainables.data.clean_settings import CleanSettings
from trainables.data.formats.table import FORMATS
from trainables.settings_base import ImportPath, Settings

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[tuple(FORMATS)]  # the table is the one place that names the formats


class TerrainSettings(Settings):
    """The generated Mars-like set."""

    images: PositiveInt = Field(300, description="how many images are generated")
    contaminated: float = Field(
        0.06, ge=0, lt=1, description="share of images that are contaminated and all carry one and the same mask"
    )
    seed: int = Field(0, ge=0, description="seed of the generator; the same seed gives the same bytes")


class NpzSettings(Settings):
    """Names of the arrays in a .npz file (the Mars file's by default)."""

    pairs: str | None = Field("training_set", description="array [N, 2, H, W] of image and mask, or none")
    images: str | None = Field(None, description="array of images [N, H, W] or [N, H, W, C], where there are no pairs")
    masks: str | None = Field(None, description="array of masks [N, H, W], where there are no pairs")
    unlabelled: str | None = Field("test_set", description="array of images without masks, for predictions alone")


class FoldSettings(Settings):
    """One of several folds that train and validation are divided into, by whole groups."""

    of: int = Field(ge=2, description="number of folds")
    index: int = Field(ge=0, description="the fold that is validation, from 0; the others are trained on")

    @model_validator(mode="after")
    def there(self) -> Self:
        """The fold is one of them."""
        if self.index >= self.of:
            raise ValueError(f"index: expected 0 to {self.of - 1} of {self.of} folds, got {self.index}")
        return self


class DataSettings(Settings):
    """Where images and masks come from and how they are split and sized."""

    format: FormatName | ImportPath = Field(
        "folder", description="layout of the data set on disk; package.module:Class for one of one's own"
    )
    root: str | None = Field(
        None, description="folder of the data set, for npz the file; `--data ROOT` sets it; none for terrain"
    )
    split: Literal["auto", "official", "lists", "blocks", "random"] = Field(
        "auto",
        description="blocks: contiguous blocks of each sequence with a gap; official: the published split, of whose "
        "training images whole groups become validation where it has none (sunrgbd, nyuv2); lists: "
        "train/validation/test .txt lists; random: whole groups at random; auto: lists where present, else blocks "
        "for camvid, random otherwise",
    )
    split_seed: int = Field(0, ge=0, description="seed of a random split and of data.fraction; constant in a study")
    shares: tuple[float, float, float] = Field(
        (0.6, 0.2, 0.2), description="shares of train, validation and test where the split is made here"
    )
    gap: int = Field(
        150, ge=0, description="frames dropped between two blocks of one sequence (CamVid: 150 frames are 5 s)"
    )
    size: tuple[PositiveInt, PositiveInt] | None = Field(
        None, description="height and width in pixels that images are resized to; the images' own if absent"
    )
    eval_size: tuple[PositiveInt, PositiveInt] | None = Field(
        None,
        description="height and width of validation masks for a cheaper search; their own if absent; never for test",
    )
    classes: tuple[str, ...] | None = Field(
        None, description="names of the classes in order of their label ids; else the format's own, or classes.txt"
    )
    ignore_index: int | None = Field(
        None, ge=0, le=255, description="label id that does not count; 255 is always ignored"
    )
    drop: tuple[str, ...] = Field((), description="names of images left out of every split")
    normalize: Literal["none", "imagenet"] = Field(
        "none", description="none: pixels in 0 to 1; imagenet: ImageNet's mean and standard deviation"
    )
    fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the training images used: whole groups, stratified by class presence; every share tried "
        "is kept in the cache",
    )
    fold: FoldSettings | None = Field(
        None, description="a fold of train and validation; promotion alone sets it (promotion.group_folds)"
    )
    clean: CleanSettings = CleanSettings()
    npz: NpzSettings = NpzSettings()
    terrain: TerrainSettings = TerrainSettings()

    @field_validator("shares")
    @classmethod
    def whole(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        """Shares are parts of 1, and search needs both of its splits."""
        if min(shares) < 0 or min(shares[:2]) == 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise ValueError(
                f"expected positive shares of train and validation that sum to 1 with test's, got {shares}"
            )
        return shares

    @field_validator("classes")
    @classmethod
    def named(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """At least one class, at most 255 (label 255 is ignored), no name twice."""
        if classes is not None and not 1 <= len(set(classes)) == len(classes) <= 255:
            raise ValueError(f"expected 1 to 255 different names of classes, got {len(classes)}")
        return classes
