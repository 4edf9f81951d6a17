"""A generated Mars-like data set: 64x128 grey, five classes, a rare one, imprecise and contaminated masks.

It stands for the kind of data of the Mars reports: bright sky and far ground as background, granular soil, layered
bedrock, rippled sand, and big rocks on about 0.2 % of the pixels. Every image is a function of (seed, index) alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from trainables.data.errors import DataError
from trainables.data.formats.files import ignored_labels
from trainables.data.formats.protocol import StampValue
from trainables.data.splits import Sample, Split

if TYPE_CHECKING:
    from trainables.data.settings import DataSettings

HEIGHT, WIDTH = 64, 128
CLASSES = ("background", "soil", "bedrock", "sand", "big rock")
BACKGROUND, SOIL, BEDROCK, SAND, BIG_ROCK = range(5)
VERSION = 1  # part of the stamp: raise it whenever the generator's output changes
ROCK_SHARE = 0.28  # of the images hold one big rock of about 50 pixels: 0.2 % of all pixels
RAGGED = 1.5  # standard deviation in pixels by which mask borders wander


@dataclass(frozen=True)
class TerrainDataset:
    """Samples generated in memory; see formats.protocol.Dataset."""

    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
    ignored: frozenset[int]
    seed: int
    contaminated: float
    default_split: str = "random"
    lists: Mapping[Split, tuple[str, ...]] = field(default_factory=dict)
    unpublished: Mapping[Split, str] = field(default_factory=dict)

    def missing(self, sample: Sample) -> str | None:
        """A generated pair is never incomplete."""
        return None

    def stamp(self, sample: Sample) -> list[StampValue]:
        """What the generator's output depends on."""
        return [VERSION, self.seed, self.contaminated, sample.name]

    def content(self, sample: Sample) -> Iterator[bytes]:
        """The bytes of the generated arrays."""
        for array in generate(self.seed, index_of(sample), self.contaminated):
            yield array.tobytes()

    def shapes(self, sample: Sample) -> tuple[tuple[int, int, int], tuple[int, int]]:
        """The one size of all images."""
        return (HEIGHT, WIDTH, 1), (HEIGHT, WIDTH)

    def image(self, sample: Sample) -> np.ndarray:
        """uint8 [64, 128, 1]."""
        return generate(self.seed, index_of(sample), self.contaminated)[0]

    def mask(self, sample: Sample) -> np.ndarray:
        """Label ids [64, 128]."""
        return generate(self.seed, index_of(sample), self.contaminated)[1]


def open_terrain(settings: DataSettings) -> TerrainDataset:
    """The generated data set of the settings."""
    if settings.root is not None:
        raise DataError(f"data.root is {settings.root!r}, but terrain is generated: leave data.root (--data) out")
    if settings.classes is not None and len(settings.classes) != len(CLASSES):
        raise DataError(f"data.classes names {len(settings.classes)} classes: terrain has {len(CLASSES)}: {CLASSES}")
    return TerrainDataset(
        samples=tuple(Sample(name=name, group=name) for name in map(name_of, range(settings.terrain.images))),
        class_names=settings.classes or CLASSES,
        ignored=ignored_labels(settings.ignore_index),
        seed=settings.terrain.seed,
        contaminated=settings.terrain.contaminated,
    )


def name_of(index: int) -> str:
    """The name of the image with this index."""
    return f"terrain_{index:05d}"


def index_of(sample: Sample) -> int:
    """The index in a name."""
    return int(sample.name.rpartition("_")[2])


@lru_cache(maxsize=1)
def generate(seed: int, index: int, contaminated: float) -> tuple[np.ndarray, np.ndarray]:
    """One image uint8 [64, 128, 1] and its imprecise mask uint8 [64, 128]; a share of them is contaminated."""
    rng = np.random.default_rng([seed, index])
    if rng.random() < contaminated:
        # All contaminated images carry this one mask, whatever they show.
        return bad_picture(rng), ragged(labels(np.random.default_rng(seed)), np.random.default_rng(seed))
    truth = labels(rng)
    return picture(truth, rng), ragged(truth, rng)


def smooth(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """A smooth random field float32 [64, 128] of mean 0 and standard deviation 1."""
    noise = rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.asarray((blurred - blurred.mean()) / blurred.std(), dtype=np.float32)


def labels(rng: np.random.Generator) -> np.ndarray:
    """True labels uint8 [64, 128]: a wavy horizon, three kinds of ground below it, sometimes one big rock."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    ground = np.stack([smooth(rng, 9) for _ in (SOIL, BEDROCK, SAND)])
    found: np.ndarray = (ground.argmax(axis=0) + SOIL).astype(np.uint8)
    horizon = rng.uniform(4, 22) + 3 * smooth(rng, 12)[HEIGHT // 2]
    found[rows < horizon] = BACKGROUND
    if rng.random() < ROCK_SHARE:
        row, column = rng.uniform(30, HEIGHT - 8), rng.uniform(10, WIDTH - 10)
        half_height, half_width = rng.uniform(2.5, 4.5), rng.uniform(3, 6)
        found[((rows - row) / half_height) ** 2 + ((columns - column) / half_width) ** 2 < 1] = BIG_ROCK
    return found


def picture(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image uint8 [64, 128, 1] of true labels: each class has its own tone and texture under one light."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    grain = rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    layers = np.sin(rows * rng.uniform(1.3, 1.8) + 2 * smooth(rng, 6))
    ripples = np.sin((columns + rows * rng.uniform(-0.6, 0.6)) * rng.uniform(0.7, 1.0) + 2 * smooth(rng, 10))
    textures = {
        BACKGROUND: 200 - rows + 3 * smooth(rng, 8),
        SOIL: 125 + 14 * grain,
        BEDROCK: 150 + 26 * np.sign(layers) + 6 * grain,
        SAND: 95 + 12 * ripples + 3 * grain,
        BIG_ROCK: 45 + 8 * grain,
    }
    image: np.ndarray = np.choose(truth, [textures[label] for label in range(len(CLASSES))])
    # A rock is lit from above: a bright upper rim.
    rock = (truth == BIG_ROCK).astype(np.uint8)
    image[(rock - cv2.erode(rock, np.ones((2, 1), np.uint8), anchor=(0, 1))) == 1] = 190
    image = (image - 128) * rng.uniform(0.85, 1.15) + 128 + rng.uniform(-15, 15) + 4 * smooth(rng, 20)
    pixels: np.ndarray = np.clip(image, 0, 255).astype(np.uint8)
    return pixels[..., None]


def ragged(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mask a hurried annotator leaves: borders wander and everything is shifted by up to a pixel."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    shift = rng.uniform(-1, 1, size=2)
    moved_rows = rows + np.float32(shift[0]) + RAGGED * smooth(rng, 3)
    moved_columns = columns + np.float32(shift[1]) + RAGGED * smooth(rng, 3)
    return np.asarray(
        cv2.remap(truth, moved_columns, moved_rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8
    )


def bad_picture(rng: np.random.Generator) -> np.ndarray:
    """A picture that shows nothing, uint8 [64, 128, 1]: noise, or saturated but for a few pixels."""
    if rng.random() < 0.5:
        return rng.integers(0, 256, size=(HEIGHT, WIDTH, 1), dtype=np.uint8)
    return np.where(rng.random((HEIGHT, WIDTH, 1)) < 0.98, 255, 0).astype(np.uint8)
