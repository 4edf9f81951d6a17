"""NYU Depth v2: the real sample and miniatures of both layouts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.miniatures import write_nyuv2
from trainables.data.dataset import open_dataset, prepare, split_samples
from trainables.data.errors import DataError
from trainables.data.settings import DataSettings
from trainables.data.splits import Split


def settings_of(root: Path, **settings: object) -> DataSettings:
    return DataSettings.model_validate({"format": "nyuv2", "root": str(root), **settings})


def test_real_bytes(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "nyuv2_sample"
    settings = settings_of(root, size=(117, 156))
    seen = set()
    for split in Split:
        data = prepare(settings, split, tmp_path)
        seen |= set(data.names)
        for index, name in enumerate(data.names):
            truth = np.array(Image.open(root / "label40" / f"{name}.png"))
            assert (data.own_mask(index) == truth).all()
            assert data.pixels_NK[index].tolist() == [int((truth == label).sum()) for label in range(40)]
    assert seen == {path.stem for path in (root / "image").iterdir()}
    assert len(seen) == 7
    assert len(data.class_names) == 40


def test_both_layouts_hold_the_same_images_and_masks(tmp_path: Path) -> None:
    folders, mat = write_nyuv2(tmp_path / "folders"), write_nyuv2(tmp_path / "mat", mat=True)
    official = {"split": "official"}
    ours, theirs = (prepare(settings_of(root, **official), Split.TEST, tmp_path / "cache") for root in (folders, mat))
    assert ours.names == theirs.names == ("000003", "000006", "000009", "000012")
    assert (ours.images_NHWC == theirs.images_NHWC).all()
    assert (ours.masks_NHW == theirs.masks_NHW).all()
    assert ours.class_names == theirs.class_names
    assert theirs.groups == ("kitchen_0001", "kitchen_0002", "kitchen_0004", "kitchen_0005")
    assert ours.groups == ours.names


def test_official_takes_validation_from_training_by_scenes(tmp_path: Path) -> None:
    settings = settings_of(write_nyuv2(tmp_path / "mat", mat=True, images=24), split="official")
    dataset = open_dataset(settings)
    parts = {split: split_samples(dataset, settings, split) for split in Split}
    assert [len(parts[split]) for split in Split] == [12, 4, 8]
    groups = {split: {sample.group for sample in part} for split, part in parts.items()}
    assert not groups[Split.TRAIN] & groups[Split.VALIDATION]


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no NYU Depth v2: expected image/ and label40/"):
        open_dataset(settings_of(tmp_path))
    root = write_nyuv2(tmp_path / "mat", mat=True)
    (root / "classMapping40.mat").unlink()
    with pytest.raises(DataError, match=r"classMapping40\.mat is missing: it maps the labels"):
        open_dataset(settings_of(root))
    root = write_nyuv2(tmp_path / "folders")
    (root / "image" / "holiday.png").write_bytes((root / "image" / "000001.png").read_bytes())
    with pytest.raises(DataError, match="'holiday' is no number"):
        open_dataset(settings_of(root))
    (root / "splits.mat").write_text("no matlab")
    with pytest.raises(DataError, match=r"splits\.mat is damaged or holds no trainNdxs"):
        open_dataset(settings_of(root))
    (root / "splits.mat").unlink()
    with pytest.raises(DataError, match=r"data\.split official needs the official splits\.mat"):
        open_dataset(settings_of(root, split="official"))
    damaged = write_nyuv2(tmp_path / "damaged", mat=True)
    path = damaged / "nyu_depth_v2_labeled.mat"
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(DataError, match=r"nyu_depth_v2_labeled\.mat is damaged"):
        open_dataset(settings_of(damaged))
