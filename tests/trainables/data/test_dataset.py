"""What a prepared split holds, against plain reading of the files."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from trainables.data.dataset import SPLIT_PARAMETERS, SPLITTERS, class_names, prepare
from trainables.data.errors import DataError
from trainables.data.settings import DataSettings
from trainables.data.splits import Split

LIST_OPENED = """
import json, sys
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
from pathlib import Path
from trainables.data.dataset import prepare
from trainables.data.settings import DataSettings
from trainables.data.splits import Split
settings, cache = DataSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2])
data = prepare(settings, Split(sys.argv[3]), cache)
root = str(Path(settings.root).resolve())
print(json.dumps({"names": data.names, "opened": [path for path in opened if path.startswith(root)]}))
"""


def opened_files(settings: DataSettings, cache: Path, split: Split) -> tuple[set[str], set[str]]:
    """Names of the split, and stems of all image files that a fresh process opened to prepare it."""
    done = subprocess.run(
        [sys.executable, "-c", LIST_OPENED, settings.model_dump_json(), str(cache), split],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    told = json.loads(done.stdout)
    return set(told["names"]), {Path(path).stem for path in told["opened"] if not path.endswith(".txt")}


def read(settings: DataSettings, folder: str, name: str) -> np.ndarray:
    return np.array(Image.open(Path(settings.root or "") / folder / f"{name}.png"))


@pytest.mark.parametrize("channels", [1, 3])
def test_without_a_size_the_arrays_are_the_files(
    tmp_path: Path, make_folder: Callable[..., DataSettings], channels: int
) -> None:
    settings = make_folder(channels=channels)
    data = prepare(settings, Split.TRAIN, tmp_path / "cache")
    assert data.class_names == class_names(settings) == ("road", "car", "tree")
    assert data.images_NHWC.shape == (6, 12, 16, channels)
    assert data.images_NHWC.dtype == data.masks_NHW.dtype == np.uint8
    for index, name in enumerate(data.names):
        assert (data.images_NHWC[index].squeeze() == read(settings, "images", name)).all()
        assert (data.masks_NHW[index] == read(settings, "masks", name)).all()
        assert (data.own_mask(index) == read(settings, "masks", name)).all()
    masks = [read(settings, "masks", name) for name in data.names]
    assert data.pixels_K.tolist() == [sum(int((mask == label).sum()) for mask in masks) for label in range(3)]
    assert data.images_K.tolist() == [sum(bool((mask == label).any()) for mask in masks) for label in range(3)]
    presence = [[bool((mask == label).any()) for label in range(3)] for mask in masks]
    assert data.presence_NK.dtype == bool
    assert data.presence_NK.tolist() == presence
    assert not data.images_NHWC.flags.writeable


def test_resizing_is_area_for_images_and_nearest_for_masks(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder(size=(12, 18), channels=3)
    data = prepare(settings.model_copy(update={"size": (4, 6)}), Split.VALIDATION, tmp_path / "cache")
    for index, name in enumerate(data.names):
        blocks = read(settings, "images", name).reshape(4, 3, 6, 3, 3).astype(float).mean(axis=(1, 3))
        assert np.abs(data.images_NHWC[index] - blocks).max() <= 0.51
        assert (data.masks_NHW[index] == read(settings, "masks", name)[1::3, 1::3]).all()
        assert (data.own_mask(index) == read(settings, "masks", name)).all()
    resized = prepare(settings.model_copy(update={"size": (7, 11)}), Split.VALIDATION, tmp_path / "cache")
    for index, name in enumerate(resized.names):
        expected = Image.fromarray(read(settings, "masks", name)).resize((11, 7), Image.Resampling.NEAREST)
        assert (resized.masks_NHW[index] == np.array(expected)).all()


def test_evaluation_size_holds_for_validation_alone(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder(eval_size=(6, 8))
    validation = prepare(settings, Split.VALIDATION, tmp_path / "cache")
    assert validation.own_mask(1).shape == (6, 8)
    assert validation.masks_NHW.shape[1:] == (12, 16)
    assert validation.pixels_K.sum() == len(validation.names) * 6 * 8
    assert prepare(settings, Split.TEST, tmp_path / "cache").own_mask(1).shape == (12, 16)


def test_a_split_with_one_colour_image_is_a_colour_split(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder(channels=1)
    name = prepare(settings, Split.TRAIN, tmp_path).names[2]
    path = Path(settings.root or "") / "images" / f"{name}.png"
    colour = np.random.default_rng(0).integers(0, 256, size=(12, 16, 3), dtype=np.uint8)
    Image.fromarray(colour).save(path)
    data = prepare(settings, Split.TRAIN, tmp_path)
    assert data.images_NHWC.shape[-1] == 3
    assert (data.images_NHWC[2] == colour).all()
    assert (data.images_NHWC[0, ..., 0] == data.images_NHWC[0, ..., 2]).all()


def test_lists_decide_where_present(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder()
    root = Path(settings.root or "")
    (root / "train.txt").write_text("p003\np001.png\n\n")
    (root / "val.txt").write_text("p000\n")
    assert prepare(settings, Split.TRAIN, tmp_path).names == ("p003", "p001")
    assert prepare(settings, Split.VALIDATION, tmp_path).names == ("p000",)
    assert len(prepare(settings.model_copy(update={"split": "random"}), Split.TRAIN, tmp_path).names) == 6
    (root / "val.txt").write_text("p777\n")
    with pytest.raises(DataError, match="'p777' is in a split list but has neither image nor mask"):
        prepare(settings, Split.VALIDATION, tmp_path)


def test_a_listed_test_image_may_lack_its_mask_until_the_end(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder()
    root = Path(settings.root or "")
    for name, entry in (("train", "p000"), ("validation", "p001"), ("test", "p002")):
        (root / f"{name}.txt").write_text(entry)
    (root / "masks" / "p002.png").unlink()
    assert prepare(settings, Split.TRAIN, tmp_path).names == ("p000",)
    with pytest.raises(DataError, match=r"image images/p002\.png has no mask"):
        prepare(settings, Split.TEST, tmp_path)


def test_a_folder_of_frames_splits_into_blocks(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder(count=10)
    for path in [*Path(settings.root or "").glob("*/p*.png")]:
        path.rename(path.with_name(f"walk_{path.stem[1:]}.png"))
    blocks = settings.model_copy(update={"split": "blocks", "gap": 2})
    assert prepare(blocks, Split.TRAIN, tmp_path).names == tuple(f"walk_{frame:03d}" for frame in range(5))
    assert set(prepare(blocks, Split.TRAIN, tmp_path).groups) == {"walk"}


def test_dropping_an_image_moves_no_other(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder(count=20)
    before = {split: prepare(settings, split, tmp_path).names for split in Split}
    dropped = settings.model_copy(update={"drop": (before[Split.TRAIN][0], before[Split.TEST][1])})
    for split in Split:
        expected = tuple(name for name in before[split] if name not in dropped.drop)
        assert prepare(dropped, split, tmp_path).names == expected


def test_fingerprint_follows_bytes_and_split_and_not_time_or_place(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder()
    root = Path(settings.root or "")
    first = prepare(settings, Split.TRAIN, tmp_path / "cache")
    os.utime(root / "images" / f"{first.names[0]}.png", (1, 1))
    assert prepare(settings, Split.TRAIN, tmp_path / "cache").fingerprint == first.fingerprint
    moved = root.rename(tmp_path / "elsewhere")
    settings = settings.model_copy(update={"root": str(moved)})
    assert prepare(settings, Split.TRAIN, tmp_path / "other").fingerprint == first.fingerprint
    sized = settings.model_copy(update={"size": (6, 8)})
    assert prepare(sized, Split.TRAIN, tmp_path / "cache").fingerprint == first.fingerprint
    wider = settings.model_copy(update={"gap": 7})
    assert prepare(wider, Split.TRAIN, tmp_path / "cache").fingerprint == first.fingerprint
    other = settings.model_copy(update={"split_seed": 1})
    assert prepare(other, Split.TRAIN, tmp_path / "cache").fingerprint != first.fingerprint
    image = read(settings, "images", first.names[0])
    image[0, 0, 0] ^= 1
    Image.fromarray(image).save(moved / "images" / f"{first.names[0]}.png")
    assert prepare(settings, Split.TRAIN, tmp_path / "cache").fingerprint != first.fingerprint


@pytest.mark.parametrize("split", list(Split))
def test_preparing_a_split_opens_its_own_files_alone(
    tmp_path: Path, make_folder: Callable[..., DataSettings], split: Split
) -> None:
    names, opened = opened_files(make_folder(), tmp_path / "cache", split)
    assert opened == names


def test_a_second_call_opens_no_image(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder()
    names, opened = opened_files(settings, tmp_path / "cache", Split.TRAIN)
    assert opened == names
    assert opened_files(settings, tmp_path / "cache", Split.TRAIN) == (names, set())


@pytest.mark.parametrize(
    ("text", "message"),
    [("0 road\n2 car", "without a hole"), ("", "without a hole")],
)
def test_classes_file_with_holes_is_refused(make_folder: Callable[..., DataSettings], text: str, message: str) -> None:
    settings = make_folder()
    (Path(settings.root or "") / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        class_names(settings)


def test_class_names_come_from_settings_then_from_the_file(make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder()
    path = Path(settings.root or "") / "classes.txt"
    path.write_text("0 big road\n1 car\n255 void\n")
    assert class_names(settings) == ("big road", "car")
    path.write_text("big road\ncar\n")
    assert class_names(settings) == ("big road", "car")
    path.unlink()
    with pytest.raises(DataError, match=r"set data\.classes or write .*classes\.txt"):
        class_names(settings)
    assert class_names(settings.model_copy(update={"classes": ("a", "b")})) == ("a", "b")


def test_tables_are_what_the_settings_accept() -> None:
    # Names of formats and of augmentation sets are taken from their tables.
    assert set(get_args(DataSettings.model_fields["split"].annotation)) == {"auto", *SPLITTERS}
    assert SPLITTERS.keys() == SPLIT_PARAMETERS.keys()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shares": (0.5, 0.2, 0.2)}, "sum to 1"),
        ({"shares": (1.0, 0.0, 0.0)}, "positive shares"),
        ({"classes": ("a", "a")}, "different names"),
        ({"format": "tarball"}, "'folder', 'camvid', .* or 'terrain'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSettings.model_validate(settings)
