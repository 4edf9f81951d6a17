"""The Mars file: pairs, separate arrays, unlabelled images, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from tests.miniatures import write_npz
from trainables.data.dataset import class_names, prepare
from trainables.data.errors import DataError
from trainables.data.formats.npz import unlabelled_images
from trainables.data.settings import DataSettings
from trainables.data.splits import Split


def settings_of(path: Path, **settings: object) -> DataSettings:
    return DataSettings.model_validate({"format": "npz", "root": str(path), **settings})


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64", "float16"])
def test_the_mars_file_of_any_type(tmp_path: Path, dtype: str) -> None:
    path = write_npz(tmp_path / "mars.npz", images=10, dtype=dtype)
    pairs = np.load(path)["training_set"]
    for split, count in zip(Split, (6, 2, 2), strict=True):
        data = prepare(settings_of(path), split, tmp_path / "cache")
        assert data.class_names == ("background", "soil", "bedrock", "sand", "big rock")
        assert data.images_NHWC.shape == (count, 64, 128, 1)
        for index, name in enumerate(data.names):
            assert (data.images_NHWC[index, ..., 0] == pairs[int(name), 0]).all()
            assert (data.masks_NHW[index] == pairs[int(name), 1]).all()


def test_arrays_of_other_names_in_colour(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 8, 12, 3), dtype=np.uint8)
    masks = rng.integers(0, 3, (10, 8, 12))
    path = tmp_path / "set.npz"
    np.savez(path, photos=images, truth=masks)
    names = {"images": "photos", "masks": "truth"}
    settings = settings_of(path, npz=names, classes=("a", "b", "c"))
    data = prepare(settings, Split.TRAIN, tmp_path / "cache")
    chosen = [int(name) for name in data.names]
    assert (data.images_NHWC == images[chosen]).all()
    assert (data.masks_NHW == masks[chosen]).all()
    with pytest.raises(DataError, match=r"have no names: set data\.classes"):
        class_names(settings.model_copy(update={"classes": None}))
    with pytest.raises(DataError, match=r"has no array 'training_set' but photos, truth: set data\.npz"):
        class_names(settings_of(path))
    for wrong, message in (
        ({"images": "photos"}, r"data\.npz\.images and data\.npz\.masks go together"),
        ({"images": "truth", "masks": "photos"}, r"expected 'truth' \[N, H, W\]"),
        ({"pairs": "photos"}, r"expected 'photos' as \[N, 2, H, W\], image and mask, got \[10, 8, 12, 3\]"),
        ({"pairs": None}, r"data\.npz names no arrays"),
    ):
        with pytest.raises(DataError, match=message):
            class_names(settings_of(path, npz=wrong, classes=("a",)))


def test_unlabelled_images_are_for_predictions_alone(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "mars.npz", images=10, unlabelled=4, dtype="float32")
    names, images = unlabelled_images(settings_of(path))
    assert images.shape == (4, 64, 128, 1)
    assert images.dtype == np.uint8
    assert (images[..., 0] == np.load(path)["test_set"]).all()
    assert names == ("test_set_00000", "test_set_00001", "test_set_00002", "test_set_00003")
    held = {name for split in Split for name in prepare(settings_of(path), split, tmp_path / "cache").names}
    assert len(held) == 10
    assert not held & set(names)
    with pytest.raises(DataError, match=r"no unlabelled images.*got data\.format npz and None"):
        unlabelled_images(settings_of(path, npz={"unlabelled": None}))
    with pytest.raises(DataError, match=r"no unlabelled images.*got data\.format terrain"):
        unlabelled_images(DataSettings(format="terrain"))
    with pytest.raises(DataError, match=r"'training_set' of .* has shape \[10, 2, 64, 128\]"):
        unlabelled_images(settings_of(path, npz={"unlabelled": "training_set"}))


def test_flaws_of_another_split_go_unseen_until_it_is_asked_for(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "mars.npz", images=10, dtype="float32")
    test = prepare(settings_of(path), Split.TEST, tmp_path / "cache").names
    arrays = dict(np.load(path))
    arrays["training_set"][int(test[0]), 1, 0, 0] = 9
    arrays["training_set"][int(test[1]), 0, 0, 0] = 0.5
    np.savez(path, **arrays)
    for split in (Split.TRAIN, Split.VALIDATION):
        prepare(settings_of(path), split, tmp_path / "cache")
    with pytest.raises(DataError, match="2 findings") as refusal:
        prepare(settings_of(path), Split.TEST, tmp_path / "cache")
    assert f"mask of '{test[0]}' has label 9: accepted are 0 to 4" in str(refusal.value)
    assert f"image '{test[1]}'" in str(refusal.value)
    assert "expected whole numbers from 0 to 255" in str(refusal.value)


def test_a_fingerprint_follows_the_splits_own_numbers(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "mars.npz", images=10)
    before = {split: prepare(settings_of(path), split, tmp_path / "cache").fingerprint for split in Split}
    arrays = dict(np.load(path))
    name = prepare(settings_of(path), Split.TRAIN, tmp_path / "cache").names[0]
    arrays["training_set"][int(name), 0, 0, 0] ^= 1
    np.savez(path, **arrays)
    after = {split: prepare(settings_of(path), split, tmp_path / "cache").fingerprint for split in Split}
    assert [after[split] != before[split] for split in Split] == [True, False, False]


def test_objects_truncated_files_and_missing_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, training_set=np.array([[[[{"a": 1}]], [[1]]]] * 5, dtype=object))
    with pytest.raises(DataError, match=r"'training_set' of .* cannot be read .*expected an array of numbers"):
        prepare(settings_of(path, classes=("a",)), Split.TRAIN, tmp_path / "cache")
    path = write_npz(tmp_path / "mars.npz", images=10)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"mars\.npz is truncated or no \.npz file"):
        class_names(settings_of(path))
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 255
    path.write_bytes(bytes(damaged))
    with pytest.raises(DataError, match=r"cannot be read"):
        prepare(settings_of(path), Split.TRAIN, tmp_path / "cache")
    with pytest.raises(DataError, match=r"data\.root is missing: expected the \.npz file"):
        class_names(DataSettings(format="npz"))
    with pytest.raises(DataError, match=r"is no file: give --data FILE"):
        class_names(settings_of(tmp_path))
