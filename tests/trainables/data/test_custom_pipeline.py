"""A user's own pipeline: built as declared, masks kept safe, and refused clearly."""

import json
from typing import Any

import albumentations
import numpy as np
import pytest

from trainables.check import SettingsError, check_settings
from trainables.data.augment import augment, build_pipeline
from trainables.data.augment_settings import AugmentSettings
from trainables.data.errors import DataError
from trainables.settings import TrialSettings

SIZE = (32, 48)


def declared(*transforms: Any) -> dict[str, Any]:
    # Through JSON, as it comes from a file.
    form: dict[str, Any] = json.loads(json.dumps(albumentations.to_dict(albumentations.Compose(list(transforms)))))
    return form


def built(form: dict[str, Any], strength: float = 1.0) -> Any:
    return build_pipeline(AugmentSettings(set="custom", pipeline=form, strength=strength), SIZE)


def test_it_does_what_was_declared() -> None:
    pipeline = built(declared(albumentations.HorizontalFlip(p=1.0), albumentations.InvertImg(p=1.0)))
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    mask = np.random.default_rng(1).integers(0, 5, SIZE, dtype=np.uint8)
    new_image, new_mask = augment(pipeline, image, mask, (0,))
    assert (new_image == 255 - image[:, ::-1]).all()
    assert (new_mask == mask[:, ::-1]).all()


def test_masks_are_nearest_and_borders_ignored_whatever_was_declared() -> None:
    rotate = albumentations.Rotate(limit=(30, 30), p=1.0, border_mode=0, fill_mask=0, mask_interpolation=1)
    pipeline = built(declared(rotate))
    mask = np.where(np.arange(SIZE[1]) < 24, 1, 4)[None].repeat(SIZE[0], axis=0).astype(np.uint8)
    _, new_mask = augment(pipeline, np.zeros((*SIZE, 1), np.uint8), mask, (0,))
    assert set(np.unique(new_mask)) == {1, 4, 255}


def test_strength_scales_transforms_but_not_shares_within_a_choice() -> None:
    choice = albumentations.OneOf([albumentations.HorizontalFlip(p=0.3), albumentations.VerticalFlip(p=0.7)], p=0.4)
    pipeline = built(declared(albumentations.Transpose(p=0.0), choice, albumentations.InvertImg(p=0.8)), strength=1.5)
    assert [transform.p for transform in pipeline.transforms] == pytest.approx([0.0, 0.6, 1.0])
    assert [transform.p for transform in pipeline.transforms[1].transforms] == pytest.approx([0.3, 0.7])


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (None, "augment.pipeline: missing; expected what albumentations.to_dict"),
        ({"transforms": []}, "expected a mapping with `transform`.* got the keys transforms"),
        ({"transform": {"__class_fullname__": "Compose", "transforms": ["flip"]}}, "each transform to be a mapping"),
        (
            {"transform": {"__class_fullname__": "Compose", "transforms": [{"__class_fullname__": "os.system"}]}},
            "albumentations has no transform 'os.system'",
        ),
        (
            {
                "transform": {
                    "__class_fullname__": "Compose",
                    "transforms": [{"__class_fullname__": "Rotate", "limt": 3}],
                }
            },
            "albumentations cannot build it: .*limt",
        ),
        (declared(albumentations.RandomCrop(8, 8, p=1.0)), "images of 32x48 come out as 8x8"),
        (declared(albumentations.Normalize(p=1.0)), "float32; resize them"),
    ],
)
def test_what_cannot_be_used_is_refused(form: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_pipeline(AugmentSettings(set="custom", pipeline=form), SIZE)


def test_checks_before_any_data_is_read() -> None:
    with pytest.raises(SettingsError, match=r"^augment.pipeline: missing"):
        check_settings(TrialSettings.model_validate({"augment": {"set": "custom"}}))
    unused = {"augment": {"set": "flips", "pipeline": declared(albumentations.HorizontalFlip())}}
    with pytest.raises(SettingsError, match=r"augment.pipeline: given, but augment.set is flips"):
        check_settings(TrialSettings.model_validate(unused))
