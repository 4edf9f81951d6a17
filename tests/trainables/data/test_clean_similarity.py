"""Nearly the same images are found by content alone; unlike ones, flat ones and a set's common frame are not."""

import cv2
import numpy as np
import pytest

from trainables.data.formats.terrain import generate
from trainables.data.similarity import (
    BLOCK,
    MaskThumbnails,
    Thumbnails,
    contaminated,
    mask_thumbnail,
    near_across,
    near_groups,
    same_groups,
    thumbnail,
    thumbnails_of,
)


def scenes(count: int, seed: int = 0, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Different smooth scenes uint8 [N, H, W, 1]."""
    rng = np.random.default_rng(seed)
    fields = [cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), 4) for _ in range(count)]
    return np.stack([np.clip(128 + 400 * field, 0, 255) for field in fields]).astype(np.uint8)[..., None]


def copies(image_HWC: np.ndarray) -> list[np.ndarray]:
    """What makes a copy that no hash of bytes finds."""
    height, width = image_HWC.shape[:2]
    rng = np.random.default_rng(1)
    encoded = cv2.imdecode(cv2.imencode(".jpg", image_HWC, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE)
    return [
        encoded[..., None],
        np.clip(image_HWC * 0.7 + 40, 0, 255).astype(np.uint8),
        np.clip(image_HWC + rng.normal(0, 8, image_HWC.shape), 0, 255).astype(np.uint8),
        cv2.resize(image_HWC, (width // 2, height // 2), interpolation=cv2.INTER_AREA)[..., None],
        np.repeat(image_HWC, 3, axis=2),
    ]


@pytest.mark.parametrize("others", [3, 60], ids=["few images", "many images"])
def test_copies_are_found_and_nothing_else(others: int) -> None:
    images = list(scenes(others))
    found = [*images, *copies(images[1])]
    thumbnails = Thumbnails.of(np.stack([thumbnail(image) for image in found]))
    assert near_groups(thumbnails, len(found)) == [[1, *range(others, others + 5)]]


def test_across_two_sets_each_gets_its_nearest() -> None:
    first = scenes(30)
    second = np.concatenate([scenes(20, seed=9), np.stack([copies(first[4])[2], first[7]])])
    thumbnails = Thumbnails.of(np.concatenate([thumbnails_of(first), thumbnails_of(second)]))
    pairs, touched = near_across(thumbnails, np.arange(30), np.arange(30, 52))
    assert [(a, b) for a, b, _ in pairs] == [(7, 51), (4, 50)]
    assert pairs[0][2] == pytest.approx(1, abs=1e-5)
    assert 0.95 <= pairs[1][2] < 1
    assert touched.tolist() == [4, 7]


def test_what_all_images_share_makes_none_of_them_copies() -> None:
    rows, columns = np.mgrid[-1:1:48j, -1:1:64j]
    frame = np.where(rows**2 + columns**2 < 1, 170.0, 10.0)[..., None]
    images = np.clip(frame + 0.25 * (scenes(40) - 128.0), 0, 255).astype(np.uint8)
    plain = Thumbnails.of(thumbnails_of(images))
    assert (plain.plain_ND @ plain.plain_ND.T).max() > 0.97
    assert near_groups(plain, 40) == []
    with_copy = np.concatenate([images, images[3:4]])
    assert near_groups(Thumbnails.of(thumbnails_of(with_copy)), 41) == [[3, 40]]


def test_images_all_alike_are_copies_and_flat_ones_are_not() -> None:
    alike = np.repeat(scenes(1), 25, axis=0)
    assert near_groups(Thumbnails.of(thumbnails_of(alike)), 25) == [list(range(25))]
    flat = np.zeros((25, 48, 64, 1), np.uint8)
    assert near_groups(Thumbnails.of(thumbnails_of(flat)), 25) == []


def test_groups_are_linked_across_blocks_and_equal_a_plain_comparison() -> None:
    rng = np.random.default_rng(0)
    count = BLOCK + 300
    # Many scenes, some of them again and again at random places.
    kinds = rng.integers(0, 600, count)
    base = rng.standard_normal((600, 64)).astype(np.float32)
    thumbnails = Thumbnails.of(base[kinds] * 40 + 128)
    groups = near_groups(thumbnails, count)
    expected = {tuple(np.flatnonzero(kinds == kind).tolist()) for kind in set(kinds.tolist())}
    assert {tuple(group) for group in groups} == {group for group in expected if len(group) > 1}
    assert [len(group) for group in groups] == sorted((len(group) for group in groups), reverse=True)


def test_near_masks_by_hand() -> None:
    first = np.zeros((32, 32), np.uint8)
    first[:16] = 1
    moved = first.copy()
    moved[16, :16] = 1  # class 1: 512 of 528 pixels, class 0: 496 of 512
    far = np.zeros_like(first)
    far[:20] = 1
    ignored = first.copy()
    ignored[first == 0] = 255
    thumbnails = MaskThumbnails(np.stack([mask_thumbnail(mask) for mask in (first, moved, far, ignored)]))
    index = np.arange(4)
    mean, near = thumbnails.compare(index, index)
    assert mean[0, 1] == pytest.approx((512 / 528 + 496 / 512) / 2)
    assert mean[0, 2] == pytest.approx((512 / 640 + 384 / 512) / 2)
    # The class that one of them lacks counts with 0.
    assert mean[0, 3] == pytest.approx((1 + 0) / 2)
    assert near.tolist() == [[i == j or {i, j} == {0, 1} for j in range(4)] for i in range(4)]
    assert near_groups(thumbnails, 4) == [[0, 1]]


@pytest.mark.parametrize("seed", [0, 3, 11])
@pytest.mark.parametrize("share", [0.03, 0.2, 0.6])
def test_every_contaminated_image_of_terrain_and_no_clean_one(seed: int, share: float) -> None:
    pairs = [generate(seed, index, share) for index in range(120)]
    # The generator's own draw decides which are contaminated.
    bad = [index for index in range(120) if np.random.default_rng([seed, index]).random() < share]
    assert len(bad) > 1
    thumbnails = Thumbnails.of(np.stack([thumbnail(image) for image, _ in pairs]))
    assert contaminated([mask.tobytes().hex() for _, mask in pairs], thumbnails) == bad
    assert near_groups(thumbnails, 120) == []


def test_one_mask_of_copies_is_no_contamination_and_one_class_masks_neither() -> None:
    images = scenes(6)
    with_copy = np.concatenate([images, images[:1]])
    thumbnails = Thumbnails.of(thumbnails_of(with_copy))
    assert contaminated(["a", "b", "c", None, None, "d", "a"], thumbnails) == []
    # Two copies and an image unlike them: all three carry a mask that cannot be theirs all.
    assert contaminated(["a", "b", "a", None, None, "d", "a"], thumbnails) == [0, 2, 6]


def test_same_groups() -> None:
    assert same_groups(["x", "y", "x", "z", "y", "x"]) == [[0, 2, 5], [1, 4]]
