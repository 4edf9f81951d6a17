"""Augmentation: published tables, seeds, borders, and what is written down."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from trainables.data.augment import augment, build_pipeline, serialise
from trainables.data.augment_sets import AUGMENT_SETS
from trainables.data.augment_settings import AugmentSettings

SIZE = (32, 48)
MOVING = [name for name in AUGMENT_SETS if name != "none"]


def picture(channels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(1, 256, size=(*SIZE, channels), dtype=np.uint8), rng.integers(0, 5, size=SIZE, dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", AUGMENT_SETS)
def test_every_set_keeps_shapes_and_types_and_invents_no_label(name: str, channels: int) -> None:
    pipeline = build_pipeline(AugmentSettings(set=name, strength=2.0), SIZE)
    image, mask = picture(channels)
    changed = 0
    for seed in range(60):
        new_image, new_mask = augment(pipeline, image.copy(), mask.copy(), (seed,))
        assert new_image.shape == image.shape
        assert new_mask.shape == mask.shape
        assert new_image.dtype == new_mask.dtype == np.uint8
        assert set(np.unique(new_mask)) <= {0, 1, 2, 3, 4, 255}
        changed += (new_image != image).any()
    assert changed == 0 if name == "none" else changed > 40


@pytest.mark.parametrize("name", MOVING)
def test_labels_are_moved_and_nothing_else(name: str) -> None:
    # A mask with exchanged labels comes out as the mask with exchanged labels: no label is mixed, and none is chosen
    # for its number. Ignored pixels and those that appear stay 255.
    pipeline = build_pipeline(AugmentSettings(set=name, strength=2.0), SIZE)
    image, mask = picture(3)
    mask[np.random.default_rng(1).random(SIZE) < 0.2] = 255
    exchanged = np.arange(256, dtype=np.uint8)
    exchanged[:5] = [3, 0, 4, 1, 2]
    for seed in range(30):
        _, new_mask = augment(pipeline, image, mask, (seed,))
        _, relabelled = augment(pipeline, image, exchanged[mask], (seed,))
        assert (relabelled == exchanged[new_mask]).all()
        _, ignored = augment(pipeline, image, np.full(SIZE, 255, np.uint8), (seed,))
        assert (ignored == 255).all()


def regions() -> tuple[np.ndarray, np.ndarray]:
    """Four regions, and an image that is 50 where the label is 1, 100 where it is 2, and so on."""
    y, x = np.indices(SIZE)
    mask = (1 + (x > 20) + 2 * (y > 12)).astype(np.uint8)
    return (50 * mask)[..., None], mask


def disagreeing(image: np.ndarray, mask: np.ndarray) -> float:
    """Share of pixels whose value is none of those that the mask promises within two pixels; outside is black."""
    value = np.where(mask == 255, 0, 50 * mask.astype(int)).astype(np.uint8)
    around = np.ones((5, 5), np.uint8)
    low = cv2.erode(value, around, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(int)
    high = cv2.dilate(value, around).astype(int)
    return float(((image[..., 0] < low - 2) | (image[..., 0] > high + 2)).mean())


@pytest.mark.parametrize("name", MOVING)
def test_image_and_mask_move_together_and_what_appears_is_black_and_ignored(name: str) -> None:
    import albumentations

    image, mask = regions()
    assert disagreeing(image, mask) == 0 < 0.2 < disagreeing(image[:, ::-1], mask)
    for transform in build_pipeline(AugmentSettings(set=name), SIZE):
        if not isinstance(transform, albumentations.DualTransform):
            continue
        transform.p = 1.0
        appeared = 0
        for seed in range(30):
            new_image, new_mask = augment(albumentations.Compose([transform]), image, mask, (seed,))
            assert disagreeing(new_image, new_mask) == 0
            appeared += int((new_mask == 255).sum())
        assert appeared > 1000 if "fill_mask" in transform.get_transform_init_args_names() else appeared == 0


@pytest.mark.parametrize("name", MOVING)
def test_the_result_is_a_function_of_the_seed_alone(name: str) -> None:
    image, mask = picture(3)
    pipeline = build_pipeline(AugmentSettings(set=name), SIZE)
    fresh = build_pipeline(AugmentSettings(set=name), SIZE)
    first = [augment(pipeline, image, mask, (1, epoch, 4)) for epoch in range(10)]
    for epoch in reversed(range(10)):
        again = augment(fresh, image, mask, (1, epoch, 4))
        assert (again[0] == first[epoch][0]).all()
        assert (again[1] == first[epoch][1]).all()
    assert len({result[0].tobytes() for result in first}) > 1


def test_flips_happen_independently_and_half_of_the_time() -> None:
    pipeline = build_pipeline(AugmentSettings(set="flips"), SIZE)
    image, mask = picture(1)
    expected = {
        "none": image, "both": image[::-1, ::-1], "horizontal": image[:, ::-1], "vertical": image[::-1]
    }  # fmt: skip
    counts = dict.fromkeys(expected, 0)
    for seed in range(800):
        result, _ = augment(pipeline, image, mask, (seed,))
        (kind,) = [kind for kind, wanted in expected.items() if (result == wanted).all()]
        counts[kind] += 1
    # 800 draws of 1/4 each: standard deviation 12.
    assert all(abs(count - 200) < 60 for count in counts.values())


def test_indoor_is_the_published_table() -> None:
    rows = json.loads(serialise(build_pipeline(AugmentSettings(set="indoor"), SIZE)))["transform"]["transforms"]
    told = {row["__class_fullname__"]: row["p"] for row in rows}
    assert told == {
        "HorizontalFlip": 0.5,
        "VerticalFlip": 0.5,
        "RandomResizedCrop": 0.2,
        "RandomBrightnessContrast": 0.2,
        "Rotate": 0.1,
    }


@pytest.mark.parametrize(("strength", "expected"), [(0.0, [0.0, 0.0]), (0.5, [0.25, 0.25]), (2.0, [1.0, 1.0])])
def test_strength_scales_probabilities(strength: float, expected: list[float]) -> None:
    pipeline = build_pipeline(AugmentSettings(set="flips", strength=strength), SIZE)
    assert [transform.p for transform in pipeline.transforms] == expected


def test_probabilities_are_capped_at_one() -> None:
    pipeline = build_pipeline(AugmentSettings(set="indoor", strength=2.0), SIZE)
    assert [transform.p for transform in pipeline.transforms] == [1.0, 1.0, 0.4, 0.4, 0.2]


@pytest.mark.parametrize("name", AUGMENT_SETS)
def test_what_is_written_down_builds_the_same_pipeline(name: str) -> None:
    import albumentations

    pipeline = build_pipeline(AugmentSettings(set=name), SIZE)
    text = serialise(pipeline)
    assert text == json.dumps(json.loads(text), sort_keys=True)
    rebuilt = albumentations.from_dict(json.loads(text))
    image, mask = picture(3)
    for seed in range(10):
        assert (augment(rebuilt, image, mask, (seed,))[0] == augment(pipeline, image, mask, (seed,))[0]).all()


def test_building_a_pipeline_asks_no_network() -> None:
    code = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "urllib.Request"):
        raise SystemExit(f"asked the network: {event} {arguments}")
sys.addaudithook(refuse)
from trainables.data.augment import build_pipeline
from trainables.data.augment_settings import AugmentSettings
build_pipeline(AugmentSettings(set="strong"), (8, 8))
print("quiet")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("quiet", 0), done.stderr
