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


def regions() -> tuple[np.ndarray, np.ndarray]:
    """A grey image and a mask whose left half is 1 and right half 4."""
    mask = np.where(np.arange(SIZE[1]) < 24, 1, 4)[None].repeat(SIZE[0], axis=0).astype(np.uint8)
    return np.full((*SIZE, 1), 200, np.uint8), mask


def of(*transforms: Any) -> dict[str, Any]:
    """A form written by hand."""
    return {"transform": {"__class_fullname__": "Compose", "transforms": list(transforms)}}


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
    _, new_mask = augment(pipeline, *regions(), (0,))
    assert set(np.unique(new_mask)) == {1, 4, 255}


@pytest.mark.parametrize(
    "transform",
    [
        {"__class_fullname__": "Affine", "p": 0.2, "translate_percent": [0.2, 0.3]},
        {"__class_fullname__": "Rotate", "limit": [20, 40]},
        {"__class_fullname__": "ElasticTransform", "alpha": 60, "sigma": 4, "p": 1.0},
        {"__class_fullname__": "GridDistortion", "distort_limit": [0.5, 0.6], "p": 1.0},
        {"__class_fullname__": "PixelDropout", "mask_drop_value": 3, "dropout_prob": 0.1, "p": 1.0},
        {"__class_fullname__": "CoarseDropout", "fill_mask": 0, "p": 1.0},
    ],
)
def test_what_a_declaration_leaves_out_is_ignored_too(transform: dict[str, Any]) -> None:
    pipeline = built(of(transform))
    results = [augment(pipeline, *regions(), (seed,))[1] for seed in range(60)]
    assert set(np.unique(results)) == {1, 4, 255}


def test_a_dropout_that_leaves_the_mask_alone_still_does() -> None:
    pipeline = built(declared(albumentations.CoarseDropout(p=1.0, fill=0)))
    new_image, new_mask = augment(pipeline, *regions(), (0,))
    assert (new_image == 0).any()
    assert (new_mask == regions()[1]).all()


def test_strength_scales_transforms_but_not_shares_within_a_choice() -> None:
    choice = albumentations.OneOf([albumentations.HorizontalFlip(p=0.3), albumentations.VerticalFlip(p=0.7)], p=0.4)
    pipeline = built(declared(albumentations.Transpose(p=0.0), choice, albumentations.InvertImg(p=0.8)), strength=1.5)
    assert [transform.p for transform in pipeline.transforms] == pytest.approx([0.0, 0.6, 1.0])
    assert [transform.p for transform in pipeline.transforms[1].transforms] == pytest.approx([0.3, 0.7])


def test_strength_reaches_through_a_sequence_once() -> None:
    flip = albumentations.HorizontalFlip(p=0.8)
    inner = albumentations.Sequential([albumentations.HorizontalFlip(p=0.6)], p=0.5)
    choice = albumentations.OneOf([inner, albumentations.VerticalFlip(p=1.0)], p=0.4)
    pipeline = built(declared(albumentations.Sequential([flip], p=0.5), choice), strength=0.5)
    sequence, chosen = pipeline.transforms
    assert (sequence.p, sequence.transforms[0].p) == (0.5, 0.4)
    assert (chosen.p, chosen.transforms[0].transforms[0].p) == (0.2, 0.6)


def test_strength_cannot_scale_a_transform_that_always_happens() -> None:
    either = declared(albumentations.OneOrOther(albumentations.HorizontalFlip(), albumentations.VerticalFlip(), p=0.3))
    assert built(either).transforms[0].p == 0.3
    with pytest.raises(DataError, match=r"^augment.strength: got 0.5, but OneOrOther in augment.pipeline applies one"):
        built(either, strength=0.5)


def test_it_is_tried_on_images_of_the_data_s_channels() -> None:
    form = of({"__class_fullname__": "ChannelDropout", "p": 0.01})
    assert len(build_pipeline(AugmentSettings(set="custom", pipeline=form), SIZE)) == 1
    with pytest.raises(DataError, match=r"cannot be applied to images of 32x48x1 and their masks: .*ChannelDropout"):
        build_pipeline(AugmentSettings(set="custom", pipeline=form), SIZE, channels=1)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (None, "augment.pipeline: missing; expected what albumentations.to_dict"),
        ({"transforms": []}, "expected a mapping with `transform`.* got the keys transforms"),
        (albumentations.to_dict(albumentations.HorizontalFlip()), "a Compose of transforms .* got the keys"),
        (of("flip"), "each transform to be a mapping with __class_fullname__, got 'flip'"),
        (of({"__class_fullname__": "os.system"}), "albumentations has no transform 'os.system'"),
        (of({"__class_fullname__": "OneOf", "transforms": 3}), "expected the transforms of OneOf to be a list, got 3"),
        (of({"__class_fullname__": "HorizontalFlip", "p": "often"}), "HorizontalFlip: expected p, .* got 'often'"),
        (of({"__class_fullname__": "HorizontalFlip", "p": 1.5}), "a probability of 0 to 1, got 1.5"),
        (of({"__class_fullname__": "Rotate", "limt": 3}), "cannot build it: UserWarning: .*limt"),
        (of({"__class_fullname__": "RandomCrop", "height": 8, "width": 8, "p": 0.01}), "32x48x3 come out as 8x8x3"),
        (of({"__class_fullname__": "RandomCrop", "height": 99, "width": 9}), "cannot be applied .* CropSizeError: "),
        (of({"__class_fullname__": "RandomRotate90", "p": 0.01}), "32x48x3 come out as 48x32x3 uint8"),
        (declared(albumentations.Normalize(p=0.01)), "float32; all must keep their size"),
        (of({"__class_fullname__": "Morphological", "p": 0.01}), "changes the labels of masks instead of moving them"),
        (of({"__class_fullname__": "MaskDropout", "p": 0.01}), "changes the labels of masks instead of moving them"),
        (of({"__class_fullname__": "GridElasticDeform", "num_grid_xy": [4, 4], "magnitude": 5}), "changes the labels"),
        (of({"__class_fullname__": "Mosaic"}), "cannot be applied .* Mosaic requires .*mosaic_metadata"),
    ],
)
def test_what_cannot_be_used_is_refused(form: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_pipeline(AugmentSettings(set="custom", pipeline=form), SIZE)


def test_checks_before_any_data_is_read() -> None:
    with pytest.raises(SettingsError, match=r"^augment.pipeline: missing"):
        check_settings(TrialSettings.model_validate({"augment": {"set": "custom"}}))
    flip = declared(albumentations.HorizontalFlip())
    check_settings(TrialSettings.model_validate({"augment": {"set": "flips", "pipeline": flip}}))
