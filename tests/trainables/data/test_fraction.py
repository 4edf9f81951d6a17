"""A share of the training images: whole groups, class presence in proportion, larger shares containing smaller ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.dataset import prepare
from trainables.data.errors import DataError
from trainables.data.fraction import chosen_images, stratified_order
from trainables.data.settings import DataSettings
from trainables.data.splits import Split


def test_a_worked_example() -> None:
    # Eight images: class 0 in all, class 1 in the four of odd index. Any half holds two of the odd ones.
    presence = np.array([[True, index % 2 == 1] for index in range(8)])
    for seed in range(5):
        half = chosen_images([f"g{index}" for index in range(8)], presence, 0.5, seed)
        assert len(half) == 4
        assert sum(index % 2 for index in half) == 2
    assert len({tuple(chosen_images([f"g{i}" for i in range(8)], presence, 0.5, seed)) for seed in range(20)}) > 5


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=25),
    fractions=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)),
    seed=st.integers(0, 2**31),
)
def test_groups_stay_whole_and_larger_fractions_contain_smaller(
    sizes: list[int], fractions: tuple[float, float], seed: int
) -> None:
    groups = [f"g{group}" for group, size in enumerate(sizes) for _ in range(size)]
    presence = np.random.default_rng(seed).random((len(groups), 3)) < (1, 0.5, 0.1)
    chosen = []
    for fraction in sorted(fractions):
        try:
            chosen.append(set(chosen_images(groups, presence, fraction, seed)))
        except DataError:
            chosen.append(set())
        picked = {groups[index] for index in chosen[-1]}
        assert chosen[-1] == {index for index, group in enumerate(groups) if group in picked}
        # Nearer to the wanted number than half of the largest group.
        assert abs(len(chosen[-1]) - fraction * len(groups)) <= max(sizes) / 2 + 1e-9
    assert chosen[0] <= chosen[1]
    assert chosen_images(groups, presence, 1.0, seed) == list(range(len(groups)))


def test_every_beginning_of_the_order_holds_each_class_in_proportion() -> None:
    rng = np.random.default_rng(1)
    presence = rng.random((400, 6)) < (1, 0.8, 0.5, 0.3, 0.1, 0.03)
    order = [members[0] for members in stratified_order([f"g{index}" for index in range(400)], presence, seed=5)]
    total = presence.sum(axis=0)
    chance = rng.permutation(400)

    def worst(indices: np.ndarray) -> float:
        held = presence[indices].cumsum(axis=0)
        expected = np.arange(1, 401)[:, None] / 400 * total
        return float(np.abs(held - expected).max())

    # Never more than about an image off, where a random order is off by several.
    assert worst(np.array(order)) < 1.6
    assert worst(chance) > 4


def test_a_prepared_fraction_is_a_part_of_training_and_leaves_validation_alone(
    tmp_path: Path, make_folder: Callable[..., DataSettings]
) -> None:
    settings = make_folder(count=20, size=(12, 16), eval_size=(6, 8))
    part = settings.model_copy(update={"fraction": 0.5, "size": (6, 8)})
    whole = settings.model_copy(update={"size": (6, 8)})
    full, half = (prepare(each, Split.TRAIN, tmp_path) for each in (whole, part))
    assert len(half.names) == 6
    indices = [full.names.index(name) for name in half.names]
    assert (half.images_NHWC == full.images_NHWC[indices]).all()
    assert (half.masks_NHW == full.masks_NHW[indices]).all()
    assert (half.pixels_NK == full.pixels_NK[indices]).all()
    assert all((half.own_mask(n) == full.own_mask(index)).all() for n, index in enumerate(indices))
    assert isinstance(half.images_NHWC, np.memmap)
    assert half.fingerprint == full.fingerprint
    assert half.key != full.key
    assert half.groups == tuple(full.groups[index] for index in indices)
    for split in (Split.VALIDATION, Split.TEST):
        assert prepare(part, split, tmp_path).key == prepare(whole, split, tmp_path).key
    inode = (tmp_path / half.key / "images.bin").stat().st_ino
    assert prepare(part, Split.TRAIN, tmp_path).key == half.key
    assert (tmp_path / half.key / "images.bin").stat().st_ino == inode
    assert prepare(whole.model_copy(update={"fraction": 1.0}), Split.TRAIN, tmp_path).key == full.key


def test_a_fraction_without_an_image_is_refused(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder(count=10, fraction=0.05)
    with pytest.raises(DataError, match=r"data\.fraction 0\.05 of 6 training images is 0\.3 images.* to 0\.17 or more"):
        prepare(settings, Split.TRAIN, tmp_path)


def test_what_is_cleaned_is_the_fraction(tmp_path: Path, make_folder: Callable[..., DataSettings]) -> None:
    settings = make_folder(count=30, fraction=0.5)
    half = prepare(settings, Split.TRAIN, tmp_path)
    clean = DataSettings.model_validate({**settings.model_dump(), "clean": {"outliers": 1.0}})
    data = prepare(clean, Split.TRAIN, tmp_path)
    means_N = half.images_NHWC.mean(axis=(1, 2, 3))
    near_N = np.abs(means_N - means_N.mean()) <= means_N.std()
    assert 0 < near_N.sum() < len(half.names)
    assert data.names == tuple(name for name, near in zip(half.names, near_N, strict=True) if near)
    assert (data.presence_NK == half.presence_NK[near_N]).all()
    assert data.fingerprint == half.fingerprint
    assert prepare(clean, Split.VALIDATION, tmp_path).key == prepare(settings, Split.VALIDATION, tmp_path).key
