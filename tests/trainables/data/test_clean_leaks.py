"""Near copies of validation images in training: found in a random split of a video, in no split by blocks."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.dataset import split_data
from trainables.data.leaks import Leak, compare, find_leak
from trainables.data.settings import DataSettings
from trainables.data.splits import Split

MakeFolder = Callable[..., DataSettings]


def leak_of(settings: DataSettings, cache: Path) -> Leak:
    train, validation = (split_data(settings, split, cache) for split in (Split.TRAIN, Split.VALIDATION))
    return find_leak(train, validation, cache)


@pytest.fixture(scope="module")
def camvid(shared: Path) -> Path:
    return shared / "data" / "camvid"


@pytest.mark.slow
def test_camvid_in_blocks_and_as_published_has_none(camvid: Path, tmp_path: Path) -> None:
    settings = DataSettings(format="camvid", root=str(camvid), size=(60, 80))
    assert leak_of(settings, tmp_path).images == 0
    # Its frames are 31 apart at the nearest, but the car moves.
    assert leak_of(settings.model_copy(update={"split": "official"}), tmp_path).images == 0
    # A random split of this format keeps sequences whole.
    assert leak_of(settings.model_copy(update={"split": "random"}), tmp_path).images == 0


@pytest.mark.slow
def test_a_random_split_of_a_videos_frames_is_full_of_copies(camvid: Path, tmp_path: Path) -> None:
    root = tmp_path / "frames"
    for folder, source in (("images", "val"), ("masks", "valannot")):
        (root / folder).mkdir(parents=True)
        for path in sorted((camvid / source).iterdir()):
            (root / folder / path.name).symlink_to(path)
    (root / "classes.txt").write_text((camvid / "classes.txt").read_text())
    settings = DataSettings(format="folder", root=str(root), ignore_index=11, size=(60, 80))
    leak = leak_of(settings, tmp_path / "cache")
    assert leak.of == 20
    assert leak.images >= 18
    first, second, similarity = leak.pairs[0]
    assert similarity > 0.99
    # Two frames apart: a fifteenth of a second.
    assert abs(int(first.split("_")[1]) - int(second.split("_")[1])) <= 6
    assert len(leak.pairs) <= 20


@pytest.mark.parametrize("contaminated", [0.0, 0.06, 0.4])
def test_terrain_has_none(tmp_path: Path, contaminated: float) -> None:
    terrain = {"images": 160, "contaminated": contaminated}
    settings = DataSettings.model_validate({"format": "terrain", "terrain": terrain})
    assert leak_of(settings, tmp_path).images == 0


def test_a_copy_is_found_however_it_is_stored_and_the_answer_is_kept(tmp_path: Path, make_folder: MakeFolder) -> None:
    settings = make_folder(count=40, size=(48, 64))
    train, validation = (split_data(settings, split, tmp_path / "cache") for split in (Split.TRAIN, Split.VALIDATION))
    assert compare(train, validation).images == 0
    images = Path(settings.root or "") / "images"
    with Image.open(images / f"{validation.names[3]}.png") as picture:
        brighter = np.clip(np.asarray(picture) * 0.8 + 30, 0, 255).astype(np.uint8)
    Image.fromarray(brighter).save(images / f"{train.names[5]}.png")
    leak = leak_of(settings, tmp_path / "cache")
    assert leak.images == 1
    assert leak.pairs[0][:2] == (train.names[5], validation.names[3])
    kept = list((tmp_path / "cache" / "leaks").iterdir())
    assert len(kept) == 1
    # The answer comes from the file, not from another comparison.
    kept[0].write_text(json.dumps({"images": 9, "of": 9, "pairs": [["a", "b", 1.0]]}))
    assert leak_of(settings, tmp_path / "cache") == Leak(9, 9, (("a", "b", 1.0),))
