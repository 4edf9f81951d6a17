"""How often images are shown, and the leaking split."""

from pathlib import Path

import numpy as np
import pytest

from trainables.class_names import ClassNameError
from trainables.data.augment import build_pipeline
from trainables.data.augment_settings import AugmentSettings
from trainables.data.batches import TrainBatches
from trainables.data.dataset import prepare
from trainables.data.repeats import leaked, shown_per_epoch
from trainables.data.settings import DataSettings, TerrainSettings
from trainables.data.split_data import SplitData
from trainables.data.splits import Split
from trainables.losses.class_weights import class_weights
from trainables.losses.settings import LossSettings

TERRAIN = DataSettings(format="terrain", terrain=TerrainSettings(images=60))
ROCK = 4


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[Split, SplitData]:
    cache = tmp_path_factory.mktemp("cache")
    return {split: prepare(TERRAIN, split, cache) for split in (Split.TRAIN, Split.VALIDATION)}


def settings(times: int = 1, copies: int = 1, classes: tuple[str, ...] = ("big rock",)) -> AugmentSettings:
    return AugmentSettings.model_validate({"copies": copies, "oversample": {"classes": classes, "times": times}})


def test_images_of_a_rare_class_are_shown_more_often(splits: dict[Split, SplitData]) -> None:
    train = splits[Split.TRAIN]
    has_rock = np.array([(train.own_mask(index) == ROCK).any() for index in range(len(train.names))])
    assert 0 < has_rock.sum() < len(has_rock)
    assert shown_per_epoch(settings(times=5, copies=2), train).tolist() == np.where(has_rock, 10, 2).tolist()
    assert shown_per_epoch(AugmentSettings(), train).tolist() == [1] * len(has_rock)


def test_an_epoch_shows_each_image_as_often_as_it_should(splits: dict[Split, SplitData]) -> None:
    train = splits[Split.TRAIN]
    shown_N = shown_per_epoch(settings(times=3), train)
    size = (train.images_NHWC.shape[1], train.images_NHWC.shape[2])
    batches = TrainBatches(train, 4, build_pipeline(AugmentSettings(), size), 0, shown_N=shown_N)
    images = np.concatenate([images for images, _ in batches.epoch(1)])
    assert len(batches) == -(-int(shown_N.sum()) // 4)
    counts = [int((images == image).all(axis=(1, 2, 3)).sum()) for image in train.images_NHWC]
    # A batch of one image would be left out.
    assert shown_N.sum() % 4 != 1
    assert counts == shown_N.tolist()


def test_each_repeat_is_augmented_anew_and_the_first_as_without_repeats(splits: dict[Split, SplitData]) -> None:
    train = splits[Split.TRAIN]
    pipeline = build_pipeline(AugmentSettings(set="mars_offline", strength=2.0), (64, 128))
    count = len(train.names)
    once = TrainBatches(train, 4, pipeline, 0)
    thrice = TrainBatches(train, 4, pipeline, 0, shown_N=np.full(count, 3))
    for index in range(5):
        repeats = [thrice.sample(2, 3 * index + repeat)[0] for repeat in range(3)]
        assert (repeats[0] == once.sample(2, index)[0]).all()
        assert len({image.tobytes() for image in repeats}) == 3
        assert all((repeats[1] == thrice.sample(2, 3 * index + 1)[0]).all() for _ in range(2))


def test_class_weights_count_pixels_as_they_are_shown(splits: dict[Split, SplitData]) -> None:
    train = splits[Split.TRAIN]
    shown_N = shown_per_epoch(settings(times=4), train)
    masks = [np.repeat(train.own_mask(index)[None], times, axis=0) for index, times in enumerate(shown_N)]
    pixels_K = np.bincount(np.concatenate([mask[mask != 255] for mask in masks]), minlength=5)
    expected = (1 / pixels_K) / (1 / pixels_K).mean()
    weights = class_weights(LossSettings(class_weights="inverse"), train.pixels_NK, train.class_names, shown_N)
    assert weights is not None
    np.testing.assert_allclose(weights, expected, rtol=1e-12)


def test_leaking_adds_the_validation_images_with_the_class_and_leaves_validation_alone(
    splits: dict[Split, SplitData], tmp_path: Path
) -> None:
    train, validation = splits[Split.TRAIN], splits[Split.VALIDATION]
    before = np.array(validation.images_NHWC).tobytes()
    mixed = leaked(settings(times=3).oversample, train, validation, tmp_path)
    rocks = [name for name, has in zip(validation.names, validation.presence_NK[:, ROCK], strict=True) if has]
    assert rocks
    assert mixed.names == (*train.names, *rocks)
    assert (mixed.images_NHWC[-1] == validation.images_NHWC[validation.names.index(rocks[-1])]).all()
    assert np.array(validation.images_NHWC).tobytes() == before


def test_an_unknown_class_is_refused(splits: dict[Split, SplitData]) -> None:
    with pytest.raises(
        ClassNameError, match=r"augment.oversample.classes: no class 'big rok'; did you mean 'big rock'"
    ):
        shown_per_epoch(settings(classes=("big rok",)), splits[Split.TRAIN])
