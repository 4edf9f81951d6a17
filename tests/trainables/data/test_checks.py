"""Bad data: each flaw is refused with the file's name and what to do, and nothing half-made is left."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.dataset import prepare
from trainables.data.errors import DataError
from trainables.data.settings import DataSettings
from trainables.data.splits import Split


def first_train(settings: DataSettings, cache: Path) -> str:
    """The name of an image in the training split."""
    return prepare(settings, Split.TRAIN, cache).names[0]


def test_missing_root_and_missing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root is missing.*--data ROOT"):
        prepare(DataSettings(format="folder"), Split.TRAIN, tmp_path)
    with pytest.raises(DataError, match=r"data\.root '/nowhere' is no folder"):
        prepare(DataSettings(format="camvid", root="/nowhere"), Split.TRAIN, tmp_path)
    with pytest.raises(DataError, match="images is missing: expected a folder of"):
        prepare(DataSettings(format="folder", root=str(tmp_path)), Split.TRAIN, tmp_path)
    with pytest.raises(DataError, match="terrain is generated"):
        prepare(DataSettings(format="terrain", root=str(tmp_path)), Split.TRAIN, tmp_path)


def test_an_image_without_mask_and_a_mask_without_image_are_named(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder()
    root = Path(settings.root or "")
    (root / "masks" / "p001.png").unlink()
    (root / "images" / "p002.png").unlink()
    with pytest.raises(DataError, match=r"2 findings") as refusal:
        prepare(settings, Split.TRAIN, tmp_path / "cache")
    assert "image images/p001.png has no mask" in str(refusal.value)
    assert "mask masks/p002.png has no image" in str(refusal.value)
    assert len(prepare(settings.model_copy(update={"drop": ("p001", "p002")}), Split.TRAIN, tmp_path).names) in (
        4,
        5,
        6,
    )


def test_a_mask_of_another_size_is_named(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder(size=(12, 16))
    name = first_train(settings, tmp_path / "cache")
    Image.new("L", (8, 12)).save(Path(settings.root or "") / "masks" / f"{name}.png")
    with pytest.raises(DataError, match=rf"mask of '{name}' is 12x8 \(height x width\) but its image is 12x16"):
        prepare(settings, Split.TRAIN, tmp_path / "cache")


def test_a_label_beyond_the_classes_is_named_with_what_is_accepted(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder(ignore_index=200)
    cache = tmp_path / "cache"
    name = first_train(settings, cache)
    labels = np.zeros((12, 16), np.uint8)
    labels[0, :4] = (3, 17, 200, 255)
    Image.fromarray(labels).save(Path(settings.root or "") / "masks" / f"{name}.png")
    with pytest.raises(
        DataError, match=rf"mask of '{name}' has label 3, 17: accepted are 0 to 2 \(3 classes\) and 200 and"
    ):
        prepare(settings, Split.TRAIN, cache)
    labels[0, :2] = 0
    Image.fromarray(labels).save(Path(settings.root or "") / "masks" / f"{name}.png")
    data = prepare(settings, Split.TRAIN, cache)
    assert data.masks_NHW[0, 0, :4].tolist() == [0, 0, 255, 255]


def test_a_label_beyond_the_classes_in_sixteen_bits_does_not_wrap(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder()
    name = first_train(settings, tmp_path / "cache")
    Image.fromarray(np.full((12, 16), 256, np.uint16)).save(Path(settings.root or "") / "masks" / f"{name}.png")
    with pytest.raises(DataError, match=rf"mask of '{name}' has label 256"):
        prepare(settings, Split.TRAIN, tmp_path / "cache")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_a_truncated_image_is_named(
    tmp_path: Path, make_folder: Callable[..., DataSettings], suffix: str, kept: float
) -> None:
    settings = make_folder(count=3, size=(40, 40), suffix=suffix, shares=(0.4, 0.3, 0.3))
    cache = tmp_path / "cache"
    path = Path(settings.root or "") / "images" / f"{first_train(settings, cache)}.{suffix}"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    before = sorted(cache.iterdir())
    with pytest.raises(DataError, match=rf"{path} is truncated or no readable image"):
        prepare(settings, Split.TRAIN, cache)
    assert sorted(cache.iterdir()) == before


def test_a_mask_that_is_no_picture_is_named(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder()
    path = Path(settings.root or "") / "masks" / f"{first_train(settings, tmp_path)}.png"
    path.write_text("no image")
    with pytest.raises(DataError, match=rf"{path} is truncated or no readable image"):
        prepare(settings, Split.TRAIN, tmp_path)


def test_an_empty_split_is_refused(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder(shares=(0.8, 0.2, 0.0))
    with pytest.raises(DataError, match=r"the test split is empty \(10 images in all, data\.split random\)"):
        prepare(settings, Split.TEST, tmp_path)
    listed = settings.model_copy(update={"split": "lists"})
    (Path(settings.root or "") / "train.txt").write_text("p000\n")
    with pytest.raises(DataError, match="the validation split is empty"):
        prepare(listed, Split.VALIDATION, tmp_path)


def test_an_empty_data_set_is_refused(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    with pytest.raises(DataError, match=r"the train split is empty \(0 images in all"):
        prepare(make_folder(count=0), Split.TRAIN, tmp_path)


def test_all_findings_come_at_once_and_at_most_twenty_are_shown(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder(count=60)
    root = Path(settings.root or "")
    for path in (root / "masks").iterdir():
        Image.fromarray(np.full((12, 16), 9, np.uint8)).save(path)
    with pytest.raises(DataError, match="36 findings") as refusal:
        prepare(settings, Split.TRAIN, tmp_path)
    lines = str(refusal.value).splitlines()
    assert len(lines) == 1 + 20 + 1
    assert lines[-1].strip() == "... and 16 more"


def test_images_of_several_sizes_need_data_size(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder()
    root = Path(settings.root or "")
    name = first_train(settings, tmp_path)
    for folder in ("images", "masks"):
        Image.open(root / folder / f"{name}.png").resize((20, 30), Image.Resampling.NEAREST).save(
            root / folder / f"{name}.png"
        )
    with pytest.raises(DataError, match=r"set data\.size"):
        prepare(settings, Split.TRAIN, tmp_path)
    data = prepare(settings.model_copy(update={"size": (6, 8)}), Split.TRAIN, tmp_path)
    assert data.images_NHWC.shape[1:] == (6, 8, 3)
    assert data.own_mask(0).shape == (30, 20)
    assert data.own_mask(1).shape == (12, 16)
    assert (data.own_mask(1) == np.array(Image.open(root / "masks" / f"{data.names[1]}.png"))).all()


def test_a_colour_mask_and_a_sixteen_bit_image_are_refused(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder()
    root, name = Path(settings.root or ""), first_train(settings, tmp_path)
    mask = Image.open(root / "masks" / f"{name}.png")
    mask.load()
    Image.merge("RGB", (mask, mask, Image.new("L", mask.size, 7))).save(root / "masks" / f"{name}.png")
    Image.fromarray(np.zeros((12, 16), np.uint16)).save(root / "images" / f"{name}.png")
    with pytest.raises(DataError, match="expected 8 bits per channel") as refusal:
        prepare(settings, Split.TRAIN, tmp_path)
    assert "2 findings" in str(refusal.value)
    assert "is a colour picture: expected a mask of label ids" in str(refusal.value)


def test_masks_that_are_wholly_ignored_are_refused(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder()
    for path in (Path(settings.root or "") / "masks").iterdir():
        Image.new("L", (16, 12), 255).save(path)
    with pytest.raises(DataError, match="every pixel of every mask is ignored"):
        prepare(settings, Split.VALIDATION, tmp_path)


def test_two_files_of_one_stem_and_an_unknown_dropped_name_are_refused(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder()
    with pytest.raises(DataError, match=r"data\.drop names p999"):
        prepare(settings.model_copy(update={"drop": ("p999",)}), Split.TRAIN, tmp_path)
    Image.new("RGB", (16, 12)).save(Path(settings.root or "") / "images" / "p000.jpg")
    with pytest.raises(DataError, match=r"p000\.jpg and p000\.png have the same stem"):
        prepare(settings, Split.TRAIN, tmp_path)


def test_a_cache_that_does_not_fit_is_refused_before_a_byte_is_written(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder(size=(12, 16)).model_copy(update={"size": (2_000_000, 2_000_000)})
    with pytest.raises(DataError, match=r"the cache of decoded images needs .* GiB in .* are free"):
        prepare(settings, Split.TRAIN, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["build.lock"]


def test_masks_given_as_palette_or_grey_colour_are_label_ids(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder()
    root = Path(settings.root or "")
    before = prepare(settings, Split.TRAIN, tmp_path)
    for index, path in enumerate(sorted((root / "masks").iterdir())):
        labels = np.array(Image.open(path))
        grey = Image.fromarray(labels)
        stored = io.BytesIO()
        if index % 2:
            grey.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200])
            grey.save(stored, "png")
        else:
            Image.merge("RGB", (grey,) * 3).save(stored, "png")
        path.write_bytes(stored.getvalue())
    after = prepare(settings, Split.TRAIN, tmp_path)
    assert after.fingerprint != before.fingerprint
    assert (after.masks_NHW == before.masks_NHW).all()
