"""Train and validation together: every image of both once, cleaning of training alone, nothing of test."""

import sys

import numpy as np
import pytest

from tests.trainables.data.conftest import NAMES
from trainables.data.dataset import prepare
from trainables.data.errors import DataError
from trainables.data.joined import joined, prepare_joined
from trainables.data.settings import DataSettings
from trainables.data.splits import Split

TERRAIN = DataSettings.model_validate({"format": "terrain", "terrain": {"images": 40}})


def test_it_is_every_image_of_both_once_and_opens_no_test_file(make_folder, tmp_path):
    settings = make_folder(count=12, split="lists")
    root = tmp_path / "set"
    lists = {"train": range(6), "validation": range(6, 9), "test": range(9, 12)}
    for name, indices in lists.items():
        (root / f"{name}.txt").write_text("\n".join(f"p{index:03d}" for index in indices))
    opened = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    data = prepare_joined(settings, tmp_path / "cache")
    seen = {path for path in opened if str(root) in path and path.endswith(".png")}
    assert data.names == tuple(f"p{index:03d}" for index in range(9))
    assert data.class_names == NAMES
    assert not [path for path in seen if any(f"p{index:03d}" in path for index in lists["test"])]
    for index, part in ((0, Split.TRAIN), (8, Split.VALIDATION)):
        own = prepare(settings, part, tmp_path / "cache")
        place = own.names.index(data.names[index])
        np.testing.assert_array_equal(data.images_NHWC[index], own.images_NHWC[place])
        np.testing.assert_array_equal(data.own_mask(index), own.own_mask(place))
        assert (data.pixels_NK[index] == own.pixels_NK[place]).all()


def test_fraction_and_cleaning_change_what_comes_from_training_alone(tmp_path):
    less = TERRAIN.model_copy(update={"fraction": 0.5})
    less = less.model_copy(update={"clean": less.clean.model_copy(update={"outliers": 1.5})})
    train, validation = (prepare(less, split, tmp_path) for split in (Split.TRAIN, Split.VALIDATION))
    whole = prepare(TERRAIN, Split.VALIDATION, tmp_path)
    data = prepare_joined(less, tmp_path)
    assert len(train.names) < len(prepare(TERRAIN, Split.TRAIN, tmp_path).names)
    assert data.names == train.names + validation.names == train.names + whole.names
    assert data.fingerprint == train.fingerprint


def test_masks_are_not_those_of_a_cheaper_evaluation(tmp_path):
    data = prepare_joined(TERRAIN.model_copy(update={"size": (32, 64), "eval_size": (16, 32)}), tmp_path)
    assert {data.own_mask(index).shape for index in range(len(data.names))} == {(64, 128)}


def test_splits_of_other_shapes_are_refused(tmp_path):
    train = prepare(TERRAIN, Split.TRAIN, tmp_path)
    small = prepare(TERRAIN.model_copy(update={"size": (32, 64)}), Split.VALIDATION, tmp_path)
    with pytest.raises(DataError, match=r"train are \(64, 128, 1\) and of validation \(32, 64, 1\).*data\.size"):
        joined(train, small, tmp_path)
