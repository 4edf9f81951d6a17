"""Group k-fold over train and validation: whole groups, every image validated once, everything else of training."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.dataset import prepare
from trainables.data.errors import DataError
from trainables.data.folds import fold_part, folds_of
from trainables.data.leaks import compare, compare_folds, find_fold_leak
from trainables.data.settings import DataSettings, FoldSettings
from trainables.data.splits import Split

TERRAIN = DataSettings.model_validate({"format": "terrain", "terrain": {"images": 40}})
SEARCHED = (Split.TRAIN, Split.VALIDATION)


def fold(settings, index, of=3):
    return settings.model_copy(update={"fold": FoldSettings(of=of, index=index)})


@given(st.lists(st.integers(1, 9), min_size=2, max_size=30), st.integers(2, 6), st.integers(0, 2**31))
def test_groups_stay_whole_and_folds_are_even(sizes, folds, seed):
    groups = [f"g{group}" for group, size in enumerate(sizes) for _ in range(size)]
    if len(sizes) < folds:
        with pytest.raises(DataError, match=f"{folds} folds of whole groups need {folds} groups; .* have {len(sizes)}"):
            folds_of(groups, folds, seed)
        return
    found = folds_of(groups, folds, seed)
    assert {fold for _, fold in set(zip(groups, found.tolist(), strict=True))} == set(range(folds))
    assert len(set(zip(groups, found.tolist(), strict=True))) == len(sizes)
    held = Counter(found.tolist())
    # The last group that went to the largest fold went to what was then the smallest.
    assert max(held.values()) - min(held.values()) <= max(sizes)
    assert (found == folds_of(groups, folds, seed)).all()


def test_the_seed_decides_among_groups_of_one_size():
    groups = [f"g{index}" for index in range(12)]
    assert len({tuple(folds_of(groups, 3, seed)) for seed in range(20)}) > 10


def test_every_image_is_validated_once_and_trained_on_in_the_other_folds(tmp_path):
    own = {split: prepare(TERRAIN, split, tmp_path) for split in Split}
    everything = sorted(own[Split.TRAIN].names + own[Split.VALIDATION].names)
    validated = []
    for index in range(3):
        train, validation = (prepare(fold(TERRAIN, index), split, tmp_path) for split in SEARCHED)
        assert sorted(train.names + validation.names) == everything
        assert not set(train.groups) & set(validation.groups)
        assert not set(train.names) & set(own[Split.TEST].names)
        validated += validation.names
        # What they are made of is the study's two splits.
        assert train.fingerprint == own[Split.TRAIN].fingerprint
        assert validation.fingerprint == own[Split.VALIDATION].fingerprint
        for data in (train, validation):
            source = own[Split.TRAIN] if data.names[-1] in own[Split.TRAIN].names else own[Split.VALIDATION]
            place = source.names.index(data.names[-1])
            np.testing.assert_array_equal(data.images_NHWC[-1], source.images_NHWC[place])
            np.testing.assert_array_equal(data.own_mask(len(data.names) - 1), source.own_mask(place))
            assert (data.pixels_NK[-1] == source.pixels_NK[place]).all()
    assert sorted(validated) == everything
    assert prepare(fold(TERRAIN, 0), Split.TEST, tmp_path).names == own[Split.TEST].names


def test_fraction_and_cleaning_leave_the_validation_images_of_a_fold_alone(tmp_path):
    less = TERRAIN.model_copy(update={"fraction": 0.5})
    less = less.model_copy(update={"clean": less.clean.model_copy(update={"outliers": 1.5})})
    train, validation = (prepare(fold(less, 1), split, tmp_path) for split in SEARCHED)
    whole = {split: prepare(fold(TERRAIN, 1), split, tmp_path) for split in SEARCHED}
    assert validation.names == whole[Split.VALIDATION].names
    assert 0 < len(train.names) < len(whole[Split.TRAIN].names)


def test_validation_masks_of_a_fold_have_the_evaluation_size_and_training_masks_their_own(tmp_path):
    sized = fold(TERRAIN.model_copy(update={"size": (32, 64), "eval_size": (16, 32)}), 0)
    train, validation = (prepare(sized, split, tmp_path) for split in SEARCHED)
    assert {validation.own_mask(index).shape for index in range(len(validation.names))} == {(16, 32)}
    assert {train.own_mask(index).shape for index in range(len(train.names))} == {(64, 128)}
    assert validation.images_NHWC.shape[1:3] == train.images_NHWC.shape[1:3] == (32, 64)


def test_splits_of_other_shapes_make_no_folds(tmp_path):
    train = prepare(TERRAIN, Split.TRAIN, tmp_path)
    small = prepare(TERRAIN.model_copy(update={"size": (32, 64)}), Split.VALIDATION, tmp_path)
    with pytest.raises(DataError, match=r"folds cannot be made of both; set data\.size"):
        fold_part((train, small), Split.TRAIN, FoldSettings(of=2, index=0), 0, None, tmp_path)


def test_copies_in_two_folds_are_found(tmp_path):
    train, validation = (prepare(TERRAIN, split, tmp_path) for split in SEARCHED)
    images = np.array(train.images_NHWC)
    images[5] = images[2]
    copied = replace(train, images_NHWC=images, key="copied")
    count = len(train.names) + len(validation.names)
    folds_N = np.arange(count) % 3
    assert not compare(copied, validation).images
    assert not compare_folds(train, validation, folds_N).images
    # 2 and 5 are in one fold.
    assert not find_fold_leak(copied, validation, folds_N, tmp_path).images
    folds_N[5] = 0
    leak = find_fold_leak(copied, validation, folds_N, tmp_path)
    assert (leak.images, leak.of) == (2, count)
    assert {pair[:2] for pair in leak.pairs} == {
        (train.names[2], train.names[5]), (train.names[5], train.names[2]),
    }  # fmt: skip
    assert find_fold_leak(copied, validation, folds_N, tmp_path) == leak
