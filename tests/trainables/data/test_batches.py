"""Batches: replayable, complete, and normalised like the published values."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.data.augment import build_pipeline
from trainables.data.augment_settings import AugmentSettings
from trainables.data.batches import TrainBatches, eval_batches, to_tensor
from trainables.data.dataset import prepare
from trainables.data.settings import DataSettings
from trainables.data.split_data import SplitData
from trainables.data.splits import Split


@pytest.fixture
def data(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> SplitData:
    return prepare(make_folder(count=15, shares=(0.6, 0.2, 0.2), size=(12, 16)), Split.TRAIN, tmp_path / "cache")


def batches(data: SplitData, batch_size: int, name: str = "none", seed: int = 0, threads: int = 1) -> TrainBatches:
    pipeline = build_pipeline(AugmentSettings(set=name), data.images_NHWC.shape[1:3])
    return TrainBatches(data, batch_size, pipeline, seed, threads)


def same(one: TrainBatches, other: TrainBatches, epoch: int) -> bool:
    pairs = zip(one.epoch(epoch), other.epoch(epoch), strict=True)
    return all((a == c).all() and (b == d).all() for (a, b), (c, d) in pairs)


def test_every_image_comes_once_an_epoch_in_another_order(data: SplitData) -> None:
    orders = []
    for epoch in range(3):
        found = list(batches(data, 4).epoch(epoch))
        assert [len(images) for images, _ in found] == [4, 4]
        names = [
            int(np.flatnonzero((data.images_NHWC == image).all(axis=(1, 2, 3)))[0])
            for images, _ in found
            for image in images
        ]
        orders.append(tuple(names))
        for (_, masks), start in zip(found, (0, 4), strict=True):
            assert (masks == data.masks_NHW[list(names[start : start + 4])]).all()
    assert len(set(orders)) == 3


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(3, [3, 3, 3]), (4, [4, 4]), (5, [5, 4]), (1, [1] * 9), (8, [8]), (9, [9]), (20, [9])]
)
def test_a_last_batch_of_one_image_is_left_out(data: SplitData, batch_size: int, sizes: list[int]) -> None:
    found = batches(data, batch_size)
    assert [len(images) for images, _ in found.epoch(0)] == sizes
    assert len(found) == len(sizes)


def test_a_replayed_epoch_is_the_same_from_any_state_and_with_any_threads(data: SplitData) -> None:
    used = batches(data, 4, "strong", seed=3)
    for epoch in range(3):
        list(used.epoch(epoch))
    for epoch in (2, 0):
        assert same(used, batches(data, 4, "strong", seed=3), epoch)
        assert same(used, batches(data, 4, "strong", seed=3, threads=3), epoch)
        assert not same(used, batches(data, 4, "strong", seed=4), epoch)


def test_augmentation_of_an_image_depends_on_neither_batch_nor_order(data: SplitData) -> None:
    one, other = batches(data, 4, "strong"), batches(data, 9, "strong")
    small = np.concatenate([images for images, _ in one.epoch(1)])
    large = np.concatenate([images for images, _ in other.epoch(1)])
    assert (small == large[: len(small)]).all()


def test_eval_batches_come_in_order_with_own_masks(data: SplitData) -> None:
    found = list(eval_batches(data, 4))
    assert [(indices.start, indices.stop) for indices, _, _ in found] == [(0, 4), (4, 8), (8, 9)]
    for indices, images, masks in found:
        assert (images == data.images_NHWC[indices]).all()
        assert all((mask == data.own_mask(indices.start + n)).all() for n, mask in enumerate(masks))


def test_to_tensor_is_the_published_normalisation(data: SplitData) -> None:
    images = np.array(data.images_NHWC[:2])
    plain = to_tensor(images, "cpu", "none")
    assert plain.shape == (2, 3, 12, 16)
    assert plain.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(plain.numpy(), images.transpose(0, 3, 1, 2) / 255, rtol=1e-6)
    expected = (images / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(to_tensor(images, "cpu", "imagenet").numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)
    grey = to_tensor(images[..., :1], "cpu", "imagenet")
    np.testing.assert_allclose(grey[:, 0].numpy(), (images[..., 0] / 255 - 0.449) / 0.226, atol=1e-5)
