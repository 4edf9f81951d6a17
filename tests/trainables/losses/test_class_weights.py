"""Class weights against the formulas, worked by hand."""

import typing

import numpy as np
import pytest

from trainables.class_names import ClassNameError
from trainables.losses.class_weights import SCHEMES, AbsentClassWarning, class_weights
from trainables.losses.settings import LossSettings
from trainables.losses.terms import LossError

NAMES = ("soil", "sand", "rock")
# Three images of 200, 100 and 100 valid pixels; soil is in all, sand in two, rock in one.
PIXELS = np.array([[120, 80, 0], [60, 0, 40], [60, 40, 0]])
BY_HAND = {"rock": 6.0, "sand": 2.0}

# Raw weights before they are scaled: p = 0.6, 0.3, 0.1.
RAW = {
    "inverse": [1 / 0.6, 1 / 0.3, 1 / 0.1],
    "complement": [0.4, 0.7, 0.9],
    # f = 240 / 400, 120 / 300, 40 / 100; their median is 0.4.
    "median_frequency": [0.4 / 0.6, 1.0, 1.0],
    # beta 0.5: (1 - 0.5) / (1 - 0.5^m) with m = 3, 2, 1 images.
    "effective_number": [0.5 / 0.875, 0.5 / 0.75, 1.0],
    "by_hand": [1.0, 2.0, 6.0],
}


def settings_of(name, **rest):
    by_hand = {"weights_by_hand": BY_HAND} if name == "by_hand" else {}
    return LossSettings.model_validate({"class_weights": name, "effective_number_beta": 0.5, **by_hand, **rest})


def weights_of(name, pixels=PIXELS, names=NAMES, shown=None, **rest):
    return class_weights(settings_of(name, **rest), pixels, names, shown)


def test_every_name_of_the_settings_has_a_row():
    names = set(typing.get_args(LossSettings.model_fields["class_weights"].annotation))
    assert names == {"none", *SCHEMES} == {"none", *RAW}


def test_none_is_no_weighting():
    assert weights_of("none") is None


@pytest.mark.parametrize("name", SCHEMES)
def test_formulas_scaled_to_mean_one(name):
    weights = weights_of(name)
    np.testing.assert_allclose(weights, np.array(RAW[name]) / np.mean(RAW[name]), rtol=1e-12)
    assert weights.mean() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("name", SCHEMES)
def test_formulas_equal_loops_over_pixels(name):
    """A second implementation that reads masks, images shown several times among them."""
    rng = np.random.default_rng(3)
    masks = [rng.choice(4, p=chances, size=(9, 11)) for chances in rng.dirichlet([0.3] * 4, size=6)]
    shown = np.array([1, 3, 1, 2, 1, 4])
    names = ("soil", "sand", "rock", "sky")
    pixels = np.array([[int((mask == k).sum()) for k in range(4)] for mask in masks])
    seen = [mask for mask, times in zip(masks, shown, strict=True) for _ in range(times)]
    raw = []
    for k in range(4):
        n = sum(int((mask == k).sum()) for mask in seen)
        having = [mask for mask in seen if (mask == k).any()]
        share = n / sum(mask.size for mask in seen)
        raw.append(
            {
                "inverse": 1 / share,
                "complement": 1 - share,
                "median_frequency": 1 / (n / sum(mask.size for mask in having)),
                "effective_number": 1 / sum(0.5**i for i in range(len(having))),
                "by_hand": BY_HAND.get(names[k], 1.0),
            }[name]
        )
    expected = np.array(raw) / np.mean(raw)
    np.testing.assert_allclose(weights_of(name, pixels, names, shown), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["inverse", "complement", "median_frequency", "by_hand"])
def test_as_many_copies_of_every_image_change_nothing(name):
    np.testing.assert_allclose(weights_of(name, shown=np.array([3, 3, 3])), weights_of(name), rtol=1e-12)


@pytest.mark.parametrize("name", ["inverse", "complement", "effective_number"])
def test_showing_rare_images_more_often_lowers_the_weight_of_what_they_hold(name):
    shown, once = weights_of(name, shown=np.array([1, 9, 1])), weights_of(name)
    assert shown[2] / shown[1] < once[2] / once[1]


def test_beta_zero_counts_every_class_once_and_near_one_goes_by_images():
    np.testing.assert_allclose(weights_of("effective_number", effective_number_beta=0), 1, rtol=1e-12)
    by_images = np.array([1 / 3, 1 / 2, 1])
    found = weights_of("effective_number", effective_number_beta=1 - 1e-9)
    np.testing.assert_allclose(found, by_images / by_images.mean(), rtol=1e-6)


@pytest.mark.parametrize("name", SCHEMES)
def test_absent_class_gets_zero_and_a_warning_and_changes_no_other(name):
    padded = np.pad(PIXELS, ((0, 0), (0, 1)))
    with pytest.warns(AbsentClassWarning, match="no valid training pixel of dune"):
        weights = weights_of(name, padded, (*NAMES, "dune"))
    assert weights[3] == 0
    np.testing.assert_array_equal(weights[:3], weights_of(name))


@pytest.mark.parametrize("name", SCHEMES)
def test_an_ignored_class_counts_like_an_absent_one_without_a_warning(name):
    more = np.concatenate([PIXELS, [[500], [0], [7]]], axis=1)
    weights = weights_of(name, more, (*NAMES, "background"), ignore_target=["background"])
    assert weights[3] == 0
    np.testing.assert_array_equal(weights[:3], weights_of(name))


@pytest.mark.parametrize("name", SCHEMES)
def test_permuting_classes_permutes_weights(name):
    order = [2, 0, 1]
    permuted = weights_of(name, PIXELS[:, order], tuple(NAMES[k] for k in order))
    np.testing.assert_allclose(permuted, weights_of(name)[order], rtol=1e-12)


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(LossError, match="complement gives no class in the training pixels a weight"):
        weights_of("complement", np.array([[5, 0]]), ("a", "b"))
    with pytest.raises(LossError, match="by_hand gives no class in the training pixels a weight"):
        weights_of("by_hand", weights_by_hand=dict.fromkeys(NAMES, 0))


def test_ignoring_all_there_is_is_refused_whatever_the_scheme():
    with pytest.raises(LossError, match=r"loss.ignore_target: no training pixel is left"):
        weights_of("none", ignore_target=list(NAMES))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"weights_by_hand": {"rok": 2}},
            r"^loss.weights_by_hand: no class 'rok'; did you mean 'rock'\? classes are soil",
        ),
        ({"weights_by_hand": {"xyz": 2}}, r"^loss.weights_by_hand: no class 'xyz'; classes are soil, sand, rock$"),
        ({"ignore_target": ["sandy"]}, r"^loss.ignore_target: no class 'sandy'; did you mean 'sand'\?"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(settings, message):
    with pytest.raises(ClassNameError, match=message):
        weights_of("by_hand", **settings)


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match=r"weights_by_hand\.rock"):
        settings_of("by_hand", weights_by_hand={"rock": -1})
