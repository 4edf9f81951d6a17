"""Pictures in tiles: every pixel covered, and the whole picture's logits where a tile sees enough around a pixel."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.conftest import MakeSettings
from trainables.inference import place
from trainables.models.build import build_model
from trainables.predictor import Predictor
from trainables.tiling import Tiling, TilingError, blended_bands

CLASSES = ("a", "b", "c")
# Pixels that decide one of the tiny U-Net's: two convolutions at strides 1, 2, 4, 2 and 1, and its resampling.
REACH = 24


@pytest.fixture(scope="module")
def predictor(terrain_settings: MakeSettings) -> Predictor:
    """A random U-Net whose features are 4 pixels apart, with statistics of BatchNorm that are not those of noise."""
    torch.manual_seed(3)
    settings = terrain_settings()
    net = build_model(settings.model, 3, len(CLASSES))
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(4, 3, 32, 32))
    return Predictor(place(net.eval(), settings, torch.device("cpu")), None, 3, CLASSES)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tiled(predictor: Predictor, image_HWC: np.ndarray, tiling: Tiling) -> torch.Tensor:
    bands = list(blended_bands(predictor.logits, image_HWC, tiling))
    assert [top for top, _ in bands] == [sum(band.shape[1] for _, band in bands[:i]) for i in range(len(bands))]
    return torch.cat([band for _, band in bands], dim=1)


@pytest.mark.parametrize("size", [(201, 163), (120, 250), (90, 80)])
def test_blended_logits_are_the_whole_pictures_where_the_overlap_shows_enough(
    predictor: Predictor, size: tuple[int, int]
) -> None:
    image = picture(*size)
    found = tiled(predictor, image, Tiling(120, 4 * REACH, 4))
    torch.testing.assert_close(found, predictor.logits(image), atol=2e-6, rtol=0)


def test_with_a_small_overlap_only_the_seams_differ(predictor: Predictor) -> None:
    image, tiling = picture(280, 250), Tiling(160, 16, 4)
    whole, found = predictor.logits(image), tiled(predictor, image, tiling)
    near_HW = np.zeros((280, 250), dtype=bool)
    for axis, side in enumerate((280, 250)):
        for start, end in tiling.spans(side):
            for seam in {start, end} - {0, side}:
                near_HW.swapaxes(0, axis)[max(0, seam - REACH) : seam + REACH] = True
    assert 0.1 < near_HW.mean() < 0.7
    difference_HW = (whole - found).abs().amax(dim=0).numpy()
    assert difference_HW[~near_HW].max() < 2e-6 < difference_HW[near_HW].max()


def test_without_an_overlap_tiles_lie_side_by_side(predictor: Predictor) -> None:
    image = picture(48, 64)
    found = tiled(predictor, image, Tiling(32, 0, 4))
    torch.testing.assert_close(found[:, :16, :32], predictor.logits(image[:32, :32])[:, :16], atol=1e-5, rtol=0)


@given(side=st.integers(1, 300), tile=st.integers(1, 80), share=st.floats(0, 0.95), stride=st.sampled_from([1, 4, 32]))
def test_tiles_cover_every_pixel_and_overlap_enough(side: int, tile: int, share: float, stride: int) -> None:
    overlap = int(tile * share)
    if tile - overlap < stride:
        with pytest.raises(TilingError, match="--tile must be at least"):
            Tiling(tile, overlap, stride)
        return
    spans = Tiling(tile, overlap, stride).spans(side)
    assert (spans[0][0], spans[-1][1]) == (0, side)
    assert all(start % stride == 0 and end - start <= tile for start, end in spans)
    for (start, end), (following, _) in pairwise(spans):
        assert start < following
        assert end - following >= overlap
    ones = list(blended_bands(lambda image: torch.ones(1, *image.shape[:2]), np.zeros((side, 3, 1), np.uint8),
                              Tiling(tile, overlap, stride)))  # fmt: skip
    torch.testing.assert_close(torch.cat([band for _, band in ones], dim=1), torch.ones(1, side, 3))


def test_masks_in_tiles_and_whole(predictor: Predictor) -> None:
    image = picture(100, 90)
    assert (predictor.mask(image) == predictor.logits(image).argmax(dim=0).numpy()).all()
    assert (predictor.mask(image, tiling=Tiling(96, 92, 4)) == predictor.mask(image)).mean() > 0.999


def test_a_flipped_picture_has_the_flipped_mask_where_both_are_averaged(predictor: Predictor) -> None:
    # Whole multiples of the stride: padding would be on the other side.
    image = picture(32, 40)
    found = predictor.logits(image, flip=True)
    mirrored = predictor.logits(np.ascontiguousarray(image[:, ::-1]), flip=True)
    torch.testing.assert_close(found, mirrored.flip(-1), atol=1e-5, rtol=0)
    plain = predictor.logits(image)
    expected = (plain + predictor.logits(np.ascontiguousarray(image[:, ::-1])).flip(-1)) / 2
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (found - plain).abs().max() > 1e-3


def test_a_model_that_resizes_takes_tiles_only_when_asked(predictor: Predictor) -> None:
    assert predictor.tiling() == Tiling(1024, 256, 4)
    resizing = Predictor(predictor.inference, (32, 32), 3, CLASSES)
    assert resizing.tiling() is None
    assert resizing.tiling(64, 0) == Tiling(64, 0, 1)
    with pytest.raises(TilingError, match="--overlap: this model resizes"):
        resizing.tiling(overlap=8)
    image = picture(64, 128)
    side_by_side = np.hstack([resizing.mask(np.ascontiguousarray(image[:, :64])), resizing.mask(image[:, 64:])])
    assert (resizing.mask(image, tiling=resizing.tiling(64, 0)) == side_by_side).all()
