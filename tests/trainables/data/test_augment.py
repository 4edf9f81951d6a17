"""Augmentation: published tables, seeds, borders, and what is written down."""

import json
import subprocess
import sys

import numpy as np
import pytest

from trainables.data.augment import augment, build_pipeline, serialise
from trainables.data.augment_sets import AUGMENT_SETS
from trainables.data.augment_settings import AugmentSettings

SIZE = (32, 48)


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


@pytest.mark.parametrize("name", ["indoor", "terrain", "strong"])
def test_the_result_is_a_function_of_the_seed_alone(name: str) -> None:
    image, mask = picture(3)
    pipeline = build_pipeline(AugmentSettings(set=name), SIZE)
    fresh = build_pipeline(AugmentSettings(set=name), SIZE)
    first = [augment(pipeline, image, mask, (1, epoch, 4)) for epoch in range(10)]
    for epoch in reversed(range(10)):
        again = augment(fresh, image, mask, (1, epoch, 4))
        assert (again[0] == first[epoch][0]).all()
        assert (again[1] == first[epoch][1]).all()
    assert len({result[0].tobytes() for result in first}) > 3


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


def test_borders_that_appear_are_ignored_and_black() -> None:
    pipeline = build_pipeline(AugmentSettings(set="terrain", strength=2.0), SIZE)
    image, mask = np.full((*SIZE, 1), 200, np.uint8), np.ones(SIZE, np.uint8)
    appeared = 0
    for seed in range(50):
        new_image, new_mask = augment(pipeline, image, mask, (seed,))
        appeared += int((new_mask == 255).sum())
        # Only pixels beside the border may be mixed of inside and outside.
        assert (new_image[..., 0][new_mask == 255] < 200).all()
        inside = (new_image[..., 0] == 200).mean()
        assert abs(inside - (new_mask == 1).mean()) < 0.15
    assert appeared > 1000


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
