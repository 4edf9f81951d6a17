"""The real CamVid: its splits, labels and sequences."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.dataset import class_names, open_dataset, prepare, split_samples
from trainables.data.errors import DataError
from trainables.data.settings import DataSettings
from trainables.data.splits import Split


@pytest.fixture(scope="module")
def camvid(shared: Path) -> DataSettings:
    root = shared / "data" / "camvid"
    if not root.is_dir():
        pytest.skip(f"CamVid not found at {root}")
    return DataSettings(format="camvid", root=str(root))


def test_official_split_is_the_published_one(camvid: DataSettings) -> None:
    official = camvid.model_copy(update={"split": "official"})
    dataset = open_dataset(official)
    parts = {split: split_samples(dataset, official, split) for split in Split}
    assert [len(parts[split]) for split in Split] == [367, 101, 233]
    assert {path.stem for path in (Path(camvid.root or "") / "val").iterdir()} == {
        sample.name for sample in parts[Split.VALIDATION]
    }


@pytest.mark.parametrize("gap", [0, 150, 400])
def test_blocks_of_a_sequence_are_at_least_the_gap_apart(camvid: DataSettings, gap: int) -> None:
    settings = camvid.model_copy(update={"gap": gap})
    dataset = open_dataset(settings)
    frames: dict[str, list[tuple[int, Split]]] = defaultdict(list)
    total = 0
    for split in Split:
        samples = split_samples(dataset, settings, split)
        total += len(samples)
        for sample in samples:
            sequence, _, number = sample.name.partition("_")
            assert sample.group == sequence
            frames[sequence].append((int(number.lstrip("f")), split))
    assert set(frames) == {"Seq05VD", "0001TP", "0006R0", "0016E5"}
    for numbered in frames.values():
        numbered.sort()
        changes = 0
        for (earlier, one), (later, other) in pairwise(numbered):
            if one is not other:
                changes += 1
                assert later - earlier >= gap
        # Contiguous blocks: train, validation, test, each once.
        assert changes == len({split for _, split in numbered}) - 1
    assert total == 701 if gap == 0 else total < 701


def test_default_is_blocks_of_sixty_twenty_twenty(camvid: DataSettings) -> None:
    dataset = open_dataset(camvid)
    counts = [len(split_samples(dataset, camvid, split)) for split in Split]
    assert counts == [405, 72, 140]


@pytest.mark.slow
def test_void_is_ignored_and_masks_keep_their_own_size(camvid: DataSettings, tmp_path: Path) -> None:
    settings = camvid.model_copy(update={"size": (60, 80)})
    data = prepare(settings, Split.VALIDATION, tmp_path)
    assert data.class_names == class_names(settings)
    assert len(data.class_names) == 11
    assert data.images_NHWC.shape == (72, 60, 80, 3)
    counts_K = np.zeros(12, np.int64)
    for index, name in enumerate(data.names):
        (path,) = Path(camvid.root or "").glob(f"*annot/{name}.png")
        truth = np.array(Image.open(path))
        counts_K += np.bincount(truth.ravel(), minlength=12)
        own = data.own_mask(index)
        assert own.shape == (360, 480)
        assert (own == np.where(truth == 11, 255, truth)).all()
    assert data.pixels_K.tolist() == counts_K[:11].tolist()


def test_a_frame_in_two_folders_and_a_strange_name_are_refused(tmp_path: Path) -> None:
    for folder in ("train", "trainannot", "val", "valannot", "test", "testannot"):
        (tmp_path / folder).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / folder / "0001TP_006690.png")
    Image.new("L", (4, 4)).save(tmp_path / "train" / "holiday.png")
    with pytest.raises(DataError, match="3 findings") as refusal:
        open_dataset(DataSettings(format="camvid", root=str(tmp_path), classes=("a",)))
    assert "train/holiday: expected a name like" in str(refusal.value)
    assert "0001TP_006690 lies in train and in validation" in str(refusal.value)
