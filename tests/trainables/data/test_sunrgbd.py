"""SUN RGB-D: every layout of a miniature, and the true published lists."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.miniatures import write_sunrgbd
from trainables.data.dataset import class_names, open_dataset, prepare, split_samples
from trainables.data.errors import DataError
from trainables.data.formats.sunrgbd_scenes import groups_of, listed_images, scene_name
from trainables.data.settings import DataSettings
from trainables.data.splits import Sample, Split, random_split

LAYOUTS = ("scene", "numbered", "mat", "archives")
OPENED = """
import json, sys
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
from pathlib import Path
from trainables.data.dataset import prepare
from trainables.data.settings import DataSettings
from trainables.data.splits import Sample, Split, random_split
settings = DataSettings.model_validate_json(sys.argv[1])
names = prepare(settings, Split.TRAIN, Path(sys.argv[2])).names
print(json.dumps([names, [path for path in opened if path.endswith((".jpg", ".png"))]]))
"""


def settings_of(root: Path, **settings: object) -> DataSettings:
    return DataSettings.model_validate({"format": "sunrgbd", "root": str(root), **settings})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_images_and_shifted_labels(tmp_path: Path, layout: str) -> None:
    root = write_sunrgbd(tmp_path / "sun", labels=layout)
    scenes = write_sunrgbd(tmp_path / "scenes", labels="scene")
    official = {"split": "official", "split_seed": 3}
    data = prepare(settings_of(root, **official), Split.TEST, tmp_path / "cache")
    other = prepare(settings_of(scenes, **official), Split.TEST, tmp_path / "cache")
    assert len(data.names) == 5

    def content(split_data: object) -> set[bytes]:
        pairs = zip(split_data.images_NHWC, split_data.masks_NHW, strict=True)
        return {image.tobytes() + mask.tobytes() for image, mask in pairs}

    assert content(data) == content(other)
    assert sorted(Counter(data.groups).values()) == sorted(Counter(other.groups).values())
    stored = [np.array(Image.open(path)).astype(int) for path in sorted(scenes.rglob("label37/*.png"))]
    expected = {np.where(labels == 0, 255, labels - 1).astype(np.uint8).tobytes() for labels in stored}
    assert {mask.tobytes() for mask in data.masks_NHW} <= expected
    assert len(class_names(settings_of(root))) == 37
    assert class_names(settings_of(root))[36] == "bag"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_official_split_keeps_test_and_takes_validation_from_training(tmp_path: Path, layout: str) -> None:
    settings = settings_of(write_sunrgbd(tmp_path / "sun", labels=layout, training=16), split="official")
    dataset = open_dataset(settings)
    parts = {split: {sample.name for sample in split_samples(dataset, settings, split)} for split in Split}
    assert [len(parts[split]) for split in Split] == [12, 4, 5]
    other = settings.model_copy(update={"split_seed": 9})
    again = {sample.name for sample in split_samples(open_dataset(other), other, Split.TEST)}
    assert again == parts[Split.TEST]
    assert [
        len(split_samples(open_dataset(auto), auto, split))
        for auto in [settings_of(Path(settings.root or ""))]
        for split in Split
    ] == [13, 4, 4]


@pytest.mark.parametrize("layout", ["scene", "numbered", "archives"])
def test_preparing_training_opens_no_picture_of_another_split(tmp_path: Path, layout: str) -> None:
    settings = settings_of(write_sunrgbd(tmp_path / "sun", labels=layout), split="official")
    done = subprocess.run(
        [sys.executable, "-c", OPENED, settings.model_dump_json(), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    names, opened = json.loads(done.stdout)
    samples = {sample.name: sample for sample in open_dataset(settings).samples}
    assert set(opened) == {str(path) for name in names for path in (samples[name].image, samples[name].mask)}


def test_the_published_lists(shared: Path) -> None:
    folder = shared / "data" / "sunrgbd_lists"
    listed = listed_images(folder, folder)
    assert {split: len(images) for split, images in listed.items()} == {Split.TEST: 5050, Split.TRAIN: 5285}
    names = {split: [scene_name(image, folder) for image in images] for split, images in listed.items()}
    everything = names[Split.TEST] + names[Split.TRAIN]
    assert len(set(everything)) == 10335
    assert names[Split.TEST][0] == ("kv2/kinect2data/000002_2014-05-26_14-23-37_260595134347_rgbf000103-resize")
    groups = groups_of(everything)
    sizes = Counter(groups.values())
    kinds = Counter("session" if name.startswith("session") else name.split("/")[1] for name in sizes)
    assert kinds == {"session": 489, "NYUdata": 1449, "b3dodata": 554, "sun3ddata": 207}
    assert sum(count for name, count in sizes.items() if name.startswith("session")) == 5242
    assert max(sizes.values()) == 218
    # 60/20/20 of whole groups comes within a percent of the report's 6,213 / 2,071 / 2,071.
    parts = random_split([Sample(name, groups[name]) for name in everything], (0.6, 0.2, 0.2), seed=0)
    assert [len(parts[split]) for split in Split] == pytest.approx([6213, 2071, 2071], rel=0.01)
    # What the docstring says of the published split.
    sequences = defaultdict(set)
    for split, scenes in names.items():
        for scene in scenes:
            if "/sun3ddata/" in scene:
                sequences["/".join(scene.split("/")[:4])].add(split)
    assert len(sequences) == 270
    assert sum(len(splits) == 2 for splits in sequences.values()) == 44


def test_groups_worked_by_hand() -> None:
    groups = groups_of(
        [
            "kv2/align_kv2/2014-12-18_11-31-54_260595134347",
            "xtion/xtion_align_data/2014_12_18_11_33_5",
            "realsense/shr/2014_12_18-11_35_04-1311000073",
            "realsense/shr/2014_12_18-11_37_05-1311000073",
            "xtion/sun3ddata/mit_32_d507/d507_1/0000008-000000234612",
            "xtion/sun3ddata/mit_32_d507/d507_2/0000008-000000234612",
            "kv1/NYUdata/NYU0001",
        ]
    )
    assert list(groups.values()) == [
        *["session 2014-12-18 11:31:54"] * 3,  # 71 s and 119 s apart
        "session 2014-12-18 11:37:05",  # 121 s later
        *["xtion/sun3ddata/mit_32_d507"] * 2,
        "kv1/NYUdata/NYU0001",
    ]


@pytest.mark.parametrize("layout", ["numbered", "mat"])
def test_numbered_labels_need_the_lists(tmp_path: Path, layout: str) -> None:
    root = write_sunrgbd(tmp_path / "sun", labels=layout, lists=False)
    with pytest.raises(DataError, match=r"needs the published lists: put sunrgbd_testing_images\.txt and"):
        open_dataset(settings_of(root))


def test_a_tree_without_lists_is_found_and_has_no_official_split(tmp_path: Path) -> None:
    with_lists = settings_of(write_sunrgbd(tmp_path / "with"))
    settings = settings_of(write_sunrgbd(tmp_path / "without", lists=False))
    names = [sample.name for sample in open_dataset(settings).samples]
    assert names == [sample.name for sample in open_dataset(with_lists).samples]
    assert any(name.startswith("xtion/sun3ddata/") for name in names)
    with pytest.raises(DataError, match=r"data\.split official needs the published lists"):
        open_dataset(settings.model_copy(update={"split": "official"}))
    # The folder SUNRGBD itself may be the root.
    inner = settings.model_copy(update={"root": str(tmp_path / "without" / "SUNRGBD")})
    assert [sample.name for sample in open_dataset(inner).samples] == names


def test_a_label_of_another_number_is_refused_and_ignore_index_means_new_ids(tmp_path: Path) -> None:
    root = write_sunrgbd(tmp_path / "sun")
    settings = settings_of(root, classes=tuple("abcde"))
    with pytest.raises(DataError, match=r"accepted are 0 to 4 \(5 classes\)"):
        prepare(settings, Split.TRAIN, tmp_path / "cache")
    data = prepare(settings_of(root), Split.TRAIN, tmp_path / "cache")
    label = int(np.flatnonzero(data.pixels_K)[0])
    without = prepare(settings_of(root, ignore_index=label), Split.TRAIN, tmp_path / "cache")
    assert without.pixels_K.tolist() == [0 if k == label else n for k, n in enumerate(data.pixels_K.tolist())]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no SUN RGB-D"):
        open_dataset(settings_of(tmp_path))
    root = write_sunrgbd(tmp_path / "archives", labels="archives")
    (root / "sunrgbd_train_test_labels" / "img-000003.png").unlink()
    with pytest.raises(DataError, match="holds 14 labels but the image folders hold 15 images"):
        open_dataset(settings_of(root))
    root = write_sunrgbd(tmp_path / "tree")
    for folder in list(root.rglob("label37")):
        shutil.rmtree(folder)
    with pytest.raises(DataError, match="holds images but no labels"):
        open_dataset(settings_of(root))
    root = write_sunrgbd(tmp_path / "mat", labels="mat")
    path = root / "SUNRGBDtoolbox/Metadata/SUNRGBD2Dseg.mat"
    with h5py.File(path, "a") as file:
        del file["SUNRGBD2Dseg/seglabel"]
        file["SUNRGBD2Dseg/seglabelall"] = np.zeros((15, 1))
    with pytest.raises(DataError, match=r"SUNRGBD2Dseg\.mat is damaged or not the published MATLAB 7\.3 file"):
        prepare(settings_of(root), Split.TRAIN, tmp_path / "cache")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"SUNRGBD2Dseg\.mat is damaged"):
        prepare(settings_of(root), Split.TRAIN, tmp_path / "cache")
