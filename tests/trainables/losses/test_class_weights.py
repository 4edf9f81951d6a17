"""Class weights against the formulas, worked by hand."""

import typing

import numpy as np
import pytest

from trainables.losses.class_weights import SCHEMES, AbsentClassWarning, class_weights
from trainables.losses.settings import LossSettings
from trainables.losses.terms import LossError

PIXELS = np.array([600, 300, 100])
IMAGES = np.array([9, 5, 2])
NAMES = ("soil", "sand", "rock")


def test_every_name_of_the_settings_has_a_row():
    assert set(typing.get_args(LossSettings.model_fields["class_weights"].annotation)) == {"none", *SCHEMES}


def test_none_is_no_weighting():
    assert class_weights("none", PIXELS, IMAGES, NAMES) is None


@pytest.mark.parametrize(("name", "raw"), [("inverse", [1 / 0.6, 1 / 0.3, 1 / 0.1]), ("complement", [0.4, 0.7, 0.9])])
def test_formulas_scaled_to_mean_one(name, raw):
    weights = class_weights(name, PIXELS, IMAGES, NAMES)
    np.testing.assert_allclose(weights, np.array(raw) / np.mean(raw), rtol=1e-12)
    assert weights.mean() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("name", SCHEMES)
def test_absent_class_gets_zero_and_a_warning_and_changes_no_other(name):
    with pytest.warns(AbsentClassWarning, match="no valid training pixel of dune"):
        weights = class_weights(name, np.append(PIXELS, 0), np.append(IMAGES, 0), (*NAMES, "dune"))
    assert weights[3] == 0
    np.testing.assert_array_equal(weights[:3], class_weights(name, PIXELS, IMAGES, NAMES))


@pytest.mark.parametrize("name", SCHEMES)
def test_permuting_classes_permutes_weights(name):
    order = [2, 0, 1]
    permuted = class_weights(name, PIXELS[order], IMAGES[order], NAMES)
    np.testing.assert_allclose(permuted, class_weights(name, PIXELS, IMAGES, NAMES)[order], rtol=1e-12)


def test_complement_of_a_single_class_is_refused():
    with pytest.raises(LossError, match="training pixels are all of one class"):
        class_weights("complement", np.array([5, 0]), np.array([1, 0]), ("a", "b"))
