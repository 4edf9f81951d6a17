"""Every cleaning step changes the training split alone, once for each setting, and its statistics with it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.data.cleaning import brightness, cleaned, mask_digest
from trainables.data.dataset import prepare
from trainables.data.errors import DataError
from trainables.data.pseudo_labels import PseudoLabels, read_origin, read_pseudo_labels, write_pseudo_labels
from trainables.data.refine import refined
from trainables.data.settings import DataSettings
from trainables.data.split_data import SplitData
from trainables.data.splits import Split

MakeFolder = Callable[..., DataSettings]
TERRAIN: dict[str, Any] = {"format": "terrain", "terrain": {"images": 60, "contaminated": 0.2, "seed": 2}}


def settings_of(**clean: Any) -> DataSettings:
    return DataSettings.model_validate({**TERRAIN, "clean": clean})


def raw(cache: Path) -> SplitData:
    return prepare(settings_of(), Split.TRAIN, cache)


def clean(cache: Path, **steps: Any) -> SplitData:
    return cleaned(raw(cache), settings_of(**steps), cache)


def contaminated_names(names: tuple[str, ...]) -> list[str]:
    """As the generator draws it."""
    return [name for name in names if np.random.default_rng([2, int(name[-5:])]).random() < 0.2]


def check_statistics(data: SplitData) -> None:
    """Statistics counted again from the masks."""
    counts_NK = np.stack(
        [np.bincount(data.own_mask(index).ravel(), minlength=256)[: len(data.class_names)]
         for index in range(len(data.names))]
    )  # fmt: skip
    assert (data.pixels_NK == counts_NK).all()
    assert (data.pixels_K == counts_NK.sum(axis=0)).all()
    assert (data.images_K == (counts_NK > 0).sum(axis=0)).all()
    assert (data.presence_NK == (counts_NK > 0)).all()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def labels_file(tmp_path: Path) -> Path:
    """Pseudo-labels of two images at half the size: one sure on its left, one sure of nothing."""
    rng = np.random.default_rng(0)
    labels = np.zeros((2, 32, 64), np.uint8)
    labels[:, :16] = 3
    confidence = np.full((2, 32, 64), 0.5, np.float16)
    confidence[0, :, :32] = 0.95
    images = rng.integers(0, 256, (2, 32, 64, 1), dtype=np.uint8)
    train = raw(tmp_path / "cache")
    path = tmp_path / "pseudo.npz"
    found = PseudoLabels(("a", "b"), images, labels, confidence)
    write_pseudo_labels(path, found, train.class_names, train.fingerprint, "a study", 4)
    return path


def test_nothing_asked_is_nothing_done(tmp_path: Path) -> None:
    data = raw(tmp_path)
    assert cleaned(data, settings_of(), tmp_path) is data


def test_contaminated_images_leave_training(tmp_path: Path) -> None:
    data, left = raw(tmp_path), clean(tmp_path, drop_contaminated=True)
    bad = contaminated_names(data.names)
    assert len(bad) > 2
    assert left.names == tuple(name for name in data.names if name not in bad)
    kept = [index for index, name in enumerate(data.names) if name not in bad]
    assert (left.images_NHWC == data.images_NHWC[kept]).all()
    assert (left.masks_NHW == data.masks_NHW[kept]).all()
    assert left.fingerprint == data.fingerprint
    assert left.key != data.key
    check_statistics(left)


def test_outliers_are_those_beyond_so_many_deviations(tmp_path: Path) -> None:
    data, left = raw(tmp_path), clean(tmp_path, outliers=2.0)
    means = np.array([image.mean() for image in data.images_NHWC])
    far = np.abs((means - means.mean()) / means.std()) > 2.0
    assert 0 < far.sum() < 10
    assert left.names == tuple(name for name, out in zip(data.names, far, strict=True) if not out)
    assert brightness(data) == pytest.approx(means)
    with pytest.raises(DataError, match=r"data\.clean\.outliers 0\.0001 leaves no training image"):
        clean(tmp_path, outliers=0.0001)


def test_masks_are_refined_and_counted_anew(tmp_path: Path) -> None:
    data, left = raw(tmp_path), clean(tmp_path, refine={"radius": 2, "variation": 0.03})
    assert left.names == data.names
    assert (left.images_NHWC == data.images_NHWC).all()
    changed = [index for index in range(len(data.names)) if (left.masks_NHW[index] != data.masks_NHW[index]).any()]
    assert changed
    for index in changed[:3]:
        expected = refined(data.images_NHWC[index], data.masks_NHW[index], 2, 0.03)
        assert (left.masks_NHW[index] == expected).all()
    check_statistics(left)


def test_refined_masks_of_resized_images_are_counted_at_their_own_size(tmp_path: Path, make_folder: MakeFolder) -> None:
    settings = make_folder(count=12, size=(24, 32)).model_copy(update={"size": (12, 16)})
    asked = DataSettings.model_validate({**settings.model_dump(), "clean": {"refine": {"radius": 1, "variation": 1.0}}})
    data = prepare(settings, Split.TRAIN, tmp_path)
    left = cleaned(data, asked, tmp_path)
    assert (left.masks_NHW != data.masks_NHW).any()
    assert left.own_mask(0).shape == (24, 32)
    assert (left.own_mask(0) == left.masks_NHW[0].repeat(2, axis=0).repeat(2, axis=1)).all()
    check_statistics(left)


def test_pseudo_labels_are_added_where_they_are_sure(tmp_path: Path, labels_file: Path) -> None:
    cache = tmp_path / "cache"
    data = raw(cache)
    left = clean(cache, pseudo_labels={"file": str(labels_file), "confidence": 0.9})
    assert left.names == (*data.names, "pseudo-label a")
    assert (left.images_NHWC[:-1] == data.images_NHWC).all()
    expected = np.full((64, 128), 255, np.uint8)
    expected[:, :64] = 0
    expected[:32, :64] = 3
    assert (left.masks_NHW[-1] == expected).all()
    check_statistics(left)
    every = clean(cache, pseudo_labels={"file": str(labels_file), "confidence": 0.5})
    assert every.names[-2:] == ("pseudo-label a", "pseudo-label b")
    assert (every.masks_NHW[-1] != 255).all()


def test_pseudo_labels_of_other_training_images_are_refused(tmp_path: Path, labels_file: Path) -> None:
    other = DataSettings.model_validate({**TERRAIN, "split_seed": 5})
    asked = other.model_copy(update={"clean": settings_of(pseudo_labels={"file": str(labels_file)}).clean})
    data = prepare(other, Split.TRAIN, tmp_path / "cache")
    with pytest.raises(DataError, match=r"trial 4 of study 'a study' .* trained on other images"):
        cleaned(data, asked, tmp_path / "cache")


def test_pseudo_labels_of_other_classes_or_channels_and_other_files_are_refused(
    tmp_path: Path, labels_file: Path
) -> None:
    cache, data = tmp_path / "cache", raw(tmp_path / "cache")
    found = read_pseudo_labels(labels_file)
    write_pseudo_labels(tmp_path / "classes.npz", found, ("x", "y"), data.fingerprint, "s", 0)
    colour = PseudoLabels(found.names, found.images_NHWC.repeat(3, axis=3), found.labels_NHW, found.confidence_NHW)
    write_pseudo_labels(tmp_path / "colour.npz", colour, data.class_names, data.fingerprint, "s", 0)
    (tmp_path / "text.npz").write_text("no arrays")
    np.savez(tmp_path / "other.npz", images=found.images_NHWC)
    np.savez(tmp_path / "objects.npz", names=np.array([{}], dtype=object))
    for name, message in (
        ("classes", r"has the classes x, y, the data set has background"),
        ("colour", r"have 3 channels, those of the data set 1"),
        ("text", r"no file that `contourney pseudo-label` wrote"),
        ("other", r"no file that `contourney pseudo-label` wrote"),
        ("objects", r"no file that `contourney pseudo-label` wrote"),
        ("absent", r"absent\.npz is missing"),
    ):
        with pytest.raises(DataError, match=message):
            clean(cache, pseudo_labels={"file": str(tmp_path / f"{name}.npz")})


def test_the_file_keeps_what_was_written(tmp_path: Path, labels_file: Path) -> None:
    origin, found = read_origin(labels_file), read_pseudo_labels(labels_file)
    data = raw(tmp_path / "cache")
    assert (origin.images, origin.study, origin.trial) == (2, "a study", 4)
    assert (origin.class_names, origin.fingerprint) == (data.class_names, data.fingerprint)
    again = tmp_path / "again.npz"
    write_pseudo_labels(again, found, data.class_names, data.fingerprint, "another study", 9)
    assert read_origin(again).digest == origin.digest
    changed = PseudoLabels(found.names, found.images_NHWC, found.labels_NHW + 1, found.confidence_NHW)
    write_pseudo_labels(again, changed, data.class_names, data.fingerprint, "a study", 4)
    assert read_origin(again).digest != origin.digest
    with pytest.raises(DataError, match="choose another place with --output"):
        write_pseudo_labels(labels_file / "inside.npz", found, data.class_names, data.fingerprint, "s", 0)


def test_steps_come_in_order_and_each_setting_is_written_once(tmp_path: Path, labels_file: Path) -> None:
    cache = tmp_path / "cache"
    steps: dict[str, Any] = {
        "drop_contaminated": True,
        "outliers": 2.0,
        "refine": {"radius": 1},
        "pseudo_labels": {"file": str(labels_file)},
    }
    data = clean(cache, **steps)
    bad = contaminated_names(raw(cache).names)
    rest = clean(cache, drop_contaminated=True)
    means = np.array([image.mean() for image in rest.images_NHWC])
    near = np.abs(means - means.mean()) <= 2.0 * means.std()
    expected = [name for name, kept in zip(rest.names, near, strict=True) if kept]
    assert not set(expected) & set(bad)
    assert list(data.names) == [*expected, "pseudo-label a"]
    before = digests(cache)
    folders = {path.name for path in cache.iterdir() if path.name.startswith("derived-")}
    assert len(folders) == 2
    inode = (cache / data.key / "images.bin").stat().st_ino
    assert clean(cache, **steps).key == data.key
    assert (cache / data.key / "images.bin").stat().st_ino == inode
    assert digests(cache) == before


@pytest.mark.parametrize(
    "steps",
    [
        {"drop_contaminated": True},
        {"outliers": 1.5},
        {"refine": {"radius": 2}},
        {"pseudo_labels": {"confidence": 0.5}},
    ],
    ids=["contaminated", "outliers", "refine", "pseudo-labels"],
)
def test_validation_stays_byte_identical(tmp_path: Path, labels_file: Path, steps: dict[str, Any]) -> None:
    cache = tmp_path / "cache"
    if "pseudo_labels" in steps:
        steps = {"pseudo_labels": {**steps["pseudo_labels"], "file": str(labels_file)}}
    before = prepare(settings_of(), Split.VALIDATION, cache)
    bytes_before = digests(cache / before.key)
    after = prepare(settings_of(**steps), Split.VALIDATION, cache)
    train = prepare(settings_of(**steps), Split.TRAIN, cache)
    assert (after.key, after.fingerprint, after.names) == (before.key, before.fingerprint, before.names)
    assert digests(cache / after.key) == bytes_before
    assert after.images_NHWC.tobytes() == before.images_NHWC.tobytes()
    assert after.masks_NHW.tobytes() == before.masks_NHW.tobytes()
    # And training really was cleaned, through the same door.
    assert train.key != raw(cache).key
    assert train.fingerprint == raw(cache).fingerprint


def test_masks_of_one_class_are_no_ones_own() -> None:
    mask = np.full((4, 4), 255, np.uint8)
    assert mask_digest(mask) is None
    mask[0] = 2
    assert mask_digest(mask) is None
    mask[1] = 1
    assert mask_digest(mask) is not None
    assert mask_digest(mask) != mask_digest(mask.reshape(2, 8))
