"""Small data in memory, and the settings of trials that take less than a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.data.split_data import SplitData
from trainables.device import set_threads
from trainables.settings import TrialSettings

MakeSplit = Callable[..., SplitData]
MakeSettings = Callable[..., TrialSettings]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As a trial on a shared CPU: threads that wait for a busy core make small tests a hundred times slower."""
    set_threads(1)


@pytest.fixture(scope="session")
def make_split() -> MakeSplit:
    """Splits of noise with learnable masks (bright is class 1, dark 0) and a border that is ignored."""

    def make(images: int = 6, size: tuple[int, int] = (16, 24), classes: int = 3, channels: int = 3) -> SplitData:
        rng = np.random.default_rng(7)
        images_NHWC = rng.integers(0, 256, (images, *size, channels), dtype=np.uint8)
        masks_NHW = (images_NHWC.mean(-1) > 127).astype(np.uint8)
        masks_NHW[:, 2:5, 3:9] = classes - 1
        masks_NHW[:, 0] = 255
        counts_NK = np.stack([np.bincount(mask[mask != 255], minlength=classes) for mask in masks_NHW])
        return SplitData(
            names=tuple(f"image{i}" for i in range(images)),
            groups=tuple(f"group{i}" for i in range(images)),
            class_names=tuple(f"class{k}" for k in range(classes)),
            fingerprint="in memory",
            images_NHWC=images_NHWC,
            masks_NHW=masks_NHW,
            pixels_NK=counts_NK,
            own_shapes_N2=np.array([size] * images),
            own_pixels=None,
        )

    return make


@pytest.fixture(scope="session")
def terrain_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of prepared data for all tests of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def terrain_settings() -> MakeSettings:
    """A tiny U-Net on twenty-four generated images; keyword arguments replace whole sections."""

    def make(**sections: Any) -> TrialSettings:
        tiny = {
            "epochs": 3,
            "batch_size": 4,
            "precision": "fp32",
            "data": {"format": "terrain", "terrain": {"images": 24}},
            "augment": {"set": "flips"},
            "model": {"name": "unet", "width": 4, "depth": 2},
            "optimizer": {"name": "adamw", "lr": 3e-3},
        }
        return TrialSettings.model_validate({**tiny, **sections})

    return make
