"""Small data sets on disk, made of seeded noise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.settings import DataSettings

NAMES = ("road", "car", "tree")
MakeFolder = Callable[..., DataSettings]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Write images/ and masks/ of three classes and return the settings that read them."""

    def make(
        count: int = 10, size: tuple[int, int] = (12, 16), channels: int = 3, suffix: str = "png", **settings: object
    ) -> DataSettings:
        root = tmp_path / "set"
        rng = np.random.default_rng(count)
        (root / "images").mkdir(parents=True)
        (root / "masks").mkdir()
        for index in range(count):
            pixels = rng.integers(0, 256, size=(*size, channels), dtype=np.uint8)
            labels = rng.integers(0, len(NAMES), size=size, dtype=np.uint8)
            Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(
                root / "images" / f"p{index:03d}.{suffix}"
            )
            Image.fromarray(labels).save(root / "masks" / f"p{index:03d}.png")
        (root / "classes.txt").write_text("\n".join(NAMES))
        return DataSettings.model_validate({"format": "folder", "root": str(root), **settings})

    return make
