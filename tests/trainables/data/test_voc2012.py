"""VOC 2012: the real sample and miniatures of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.miniatures import write_voc2012
from trainables.data.dataset import class_names, open_dataset, prepare, split_samples
from trainables.data.errors import DataError
from trainables.data.settings import DataSettings
from trainables.data.splits import Split


def settings_of(root: Path, **settings: object) -> DataSettings:
    return DataSettings.model_validate({"format": "voc2012", "root": str(root), "size": (48, 64), **settings})


def test_real_bytes_of_the_published_layout(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "voc_sample"
    folder = root / "VOCdevkit" / "VOC2012"
    data = prepare(settings_of(root, split="official"), Split.TRAIN, tmp_path)
    assert data.names == tuple(sorted((folder / "ImageSets/Segmentation/train.txt").read_text().split()))
    assert len(data.class_names) == 21
    assert data.class_names[0] == "background"
    assert data.class_names[15] == "person"
    for index, name in enumerate(data.names):
        # Independently of the decoder: palette indices as Pillow stores them.
        picture = Image.open(folder / "SegmentationClass" / f"{name}.png")
        assert picture.mode == "P"
        truth = np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, picture.width)
        assert (data.own_mask(index) == truth).all()
        assert 255 in truth
        assert data.pixels_NK[index].sum() == (truth != 255).sum()
    # The inner folder as root is the same data set.
    assert prepare(settings_of(folder, split="official"), Split.TRAIN, tmp_path).fingerprint == data.fingerprint


def test_official_is_the_two_lists_and_has_no_test(tmp_path: Path) -> None:
    settings = settings_of(write_voc2012(tmp_path / "voc", train=5, validation=3), split="official")
    dataset = open_dataset(settings)
    counts = [len(split_samples(dataset, settings, split)) for split in (Split.TRAIN, Split.VALIDATION)]
    assert counts == [5, 3]
    with pytest.raises(DataError, match=r"test split is empty .* not public; .*data\.split to random"):
        prepare(settings, Split.TEST, tmp_path)


def test_auto_divides_all_images_with_masks(tmp_path: Path) -> None:
    settings = settings_of(write_voc2012(tmp_path / "voc", train=7, validation=3))
    parts = {split: prepare(settings, split, tmp_path / "cache").names for split in Split}
    assert [len(parts[split]) for split in Split] == [6, 2, 2]
    assert "2008_000001" not in {name for part in parts.values() for name in part}
    assert class_names(settings.model_copy(update={"classes": ("a",)})) == ("a",)


def test_what_is_no_voc_and_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no VOC 2012: expected ImageSets/Segmentation"):
        open_dataset(settings_of(tmp_path))
    root = write_voc2012(tmp_path / "voc", train=5, validation=3)
    folder = root / "VOCdevkit" / "VOC2012"
    (folder / "SegmentationClass" / "2007_000002.png").unlink()
    with pytest.raises(DataError, match=r"image JPEGImages/2007_000002\.jpg has no mask"):
        prepare(settings_of(root), Split.TRAIN, tmp_path / "cache")
    (folder / "ImageSets/Segmentation/val.txt").write_text("2007_000001\n")
    with pytest.raises(DataError, match="'2007_000001' is listed twice, in train and validation"):
        open_dataset(settings_of(root))
    (folder / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(DataError, match=r"val\.txt is missing: it names the images with masks"):
        open_dataset(settings_of(root))
