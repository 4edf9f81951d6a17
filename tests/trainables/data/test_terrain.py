"""The generated set: deterministic, five classes with a rare one, one mask for all contaminated images."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from trainables.data.dataset import class_names, prepare
from trainables.data.errors import DataError
from trainables.data.formats.terrain import BIG_ROCK, CLASSES, generate, labels, picture
from trainables.data.settings import DataSettings
from trainables.data.splits import Split


def test_every_image_depends_on_seed_and_index_alone() -> None:
    image, mask = generate(5, 7, 0.0)
    generate(5, 8, 0.0)
    again, mask_again = generate(5, 7, 0.0)
    assert (image == again).all()
    assert (mask == mask_again).all()
    assert image.shape == (64, 128, 1)
    assert image.dtype == mask.dtype == np.uint8
    assert (generate(6, 7, 0.0)[0] != image).any()


def test_the_rarest_class_has_about_a_fifth_of_a_percent_of_the_pixels() -> None:
    masks = np.stack([generate(0, index, 0.0)[1] for index in range(300)])
    shares = np.bincount(masks.ravel(), minlength=5) / masks.size
    assert 0.001 < shares[BIG_ROCK] < 0.003
    assert shares[:BIG_ROCK].min() > 0.1
    assert shares.argmin() == BIG_ROCK


def test_contaminated_images_all_carry_one_mask_and_clean_ones_never_two_alike() -> None:
    pairs = [generate(1, index, 0.2) for index in range(100)]
    clean = [generate(1, index, 0.0) for index in range(100)]
    bad = [index for index in range(100) if (pairs[index][0] != clean[index][0]).any()]
    assert 10 <= len(bad) <= 30
    digests = [hashlib.sha256(mask.tobytes()).hexdigest() for _, mask in pairs]
    assert len({digests[index] for index in bad}) == 1
    assert len(set(digests)) == 100 - len(bad) + 1


def test_masks_are_imprecise_at_borders_and_right_inside() -> None:
    rng = np.random.default_rng([0, 3])
    rng.random()
    truth = labels(rng)
    assert (picture(truth, rng) == generate(0, 3, 0.0)[0]).all()
    wrong = (truth != generate(0, 3, 0.0)[1]).mean()
    assert 0.01 < wrong < 0.2


def test_prepared_terrain_has_its_splits_and_refuses_what_it_does_not_have(tmp_path: Path) -> None:
    settings = DataSettings.model_validate({"format": "terrain", "terrain": {"images": 20}})
    data = prepare(settings, Split.TRAIN, tmp_path)
    assert data.images_NHWC.shape == (12, 64, 128, 1)
    assert class_names(settings) == CLASSES
    ignoring = prepare(settings.model_copy(update={"ignore_index": 0}), Split.TRAIN, tmp_path)
    assert ignoring.pixels_K[0] == 0
    assert (ignoring.masks_NHW == np.where(data.masks_NHW == 0, 255, data.masks_NHW)).all()
    for split, message in (
        ("official", "no published split"),
        ("lists", r"no train\.txt"),
        ("blocks", "no frame number"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(settings.model_copy(update={"split": split}), Split.TRAIN, tmp_path)
    with pytest.raises(DataError, match="terrain has 5"):
        class_names(settings.model_copy(update={"classes": ("a",)}))
