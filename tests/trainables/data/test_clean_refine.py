"""Mask refinement: borders move onto edges of the image, texture stops them, ignored pixels stay."""

import numpy as np
import pytest

from trainables.data.refine import disc_of, refined, variation_of


def step(width: int = 12, height: int = 9) -> np.ndarray:
    """An image uint8 [9, 12, 1], dark left of column 6 and bright from there."""
    image = np.full((height, width, 1), 50, np.uint8)
    image[:, width // 2 :] = 200
    return image


def test_a_border_beside_the_edge_moves_onto_it() -> None:
    image = step()
    truth = (image[..., 0] > 100).astype(np.uint8)
    for off in (-2, -1, 1, 2):
        mask = np.zeros_like(truth)
        mask[:, 6 + off :] = 1
        assert (refined(image, mask, radius=2, variation=0.02) == truth).all(), off


def test_radius_one_by_hand() -> None:
    image = step(width=6, height=1)  # dark, dark, dark, bright, bright, bright
    mask = np.array([[0, 0, 1, 1, 1, 1]], np.uint8)
    # Calm: columns 0, 1, 4, 5. Column 2 is claimed by column 1 alone (class 0), column 3 by column 4 (class 1).
    assert refined(image, mask, radius=1, variation=0.02).tolist() == [[0, 0, 0, 1, 1, 1]]


def test_nothing_moves_where_texture_is_everywhere_or_masks_are_right() -> None:
    rng = np.random.default_rng(0)
    mask = (np.arange(20)[None] > rng.integers(5, 15, (16, 1))).astype(np.uint8)
    noisy = rng.integers(0, 256, (16, 20, 1), dtype=np.uint8)
    assert (refined(noisy, mask, radius=2, variation=0.02) == mask).all()
    assert refined(noisy, mask, radius=0, variation=0.02) is mask
    image = step()
    truth = (image[..., 0] > 100).astype(np.uint8)
    assert (refined(image, truth, radius=3, variation=0.02) == truth).all()


def test_ignored_pixels_stay_and_claim_nothing() -> None:
    image = step()
    mask = (image[..., 0] > 100).astype(np.uint8)
    mask[:4] = 255
    assert (refined(image, mask, radius=2, variation=0.02) == mask).all()
    everything = np.full_like(mask, 255)
    assert (refined(image, everything, radius=2, variation=0.02) == everything).all()


def test_colour_is_judged_by_its_grey_and_labels_are_only_the_ones_there() -> None:
    image = np.repeat(step(), 3, axis=2)
    mask = np.where(np.arange(12)[None] < 5, 3, 9).repeat(9, axis=0).astype(np.uint8)
    found = refined(image, mask, radius=2, variation=0.02)
    assert set(np.unique(found).tolist()) == {3, 9}
    assert (found == np.where(np.arange(12)[None] < 6, 3, 9)).all()


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_variation_is_the_standard_deviation_over_the_disc(radius: int) -> None:
    rng = np.random.default_rng(radius)
    image = rng.integers(0, 256, (11, 13, 1), dtype=np.uint8)
    found = variation_of(image, disc_of(radius))
    padded = np.pad(image[..., 0] / 255, radius, mode="reflect")
    for row, column in ((0, 0), (5, 6), (10, 12)):
        inside = [
            padded[radius + row + i, radius + column + j]
            for i in range(-radius, radius + 1)
            for j in range(-radius, radius + 1)
            if i * i + j * j <= radius * radius
        ]
        assert found[row, column] == pytest.approx(np.std(inside), abs=1e-6)
