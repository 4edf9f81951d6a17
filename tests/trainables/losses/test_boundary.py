"""Signed distances against scipy and the authors' formula, and the boundary loss over them."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from trainables.losses.boundary import Boundary
from trainables.losses.distances import signed_distances
from trainables.losses.scores import Scores
from trainables.losses.settings import BoundarySettings
from trainables.losses.target import Target


def patches(seed, size=(13, 17), classes=4, ignored=True):
    """Areas rather than noise, with ignored ones among them."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(size, dtype=np.uint8)
    for label in [*range(1, classes), *([255] if ignored else []), 1]:
        top, left = rng.integers(0, size[0] - 3), rng.integers(0, size[1] - 3)
        labels[top : top + rng.integers(2, 7), left : left + rng.integers(2, 7)] = label
    return labels


def value_of(logits, masks):
    term = Boundary(BoundarySettings(), None)
    return float(term.value(term.statistics(Scores(logits, Target(masks, logits.shape[1])))))


def test_hand_worked_line():
    labels = np.array([[0, 0, 1, 1]], dtype=np.uint8)
    expected = np.array([[-1, 0, 1, 2], [2, 1, 0, -1], [0, 0, 0, 0]]) / math.sqrt(17)
    np.testing.assert_allclose(signed_distances(labels, 3)[:, 0], expected, rtol=1e-6)


def test_hand_worked_line_across_ignored_pixels():
    """Pixel 1 is two from class 1, and the ignored pixel itself has no distance."""
    labels = np.array([[0, 0, 255, 1]], dtype=np.uint8)
    expected = np.array([[-2, -1, 0, 2], [3, 2, 0, -1]]) / math.sqrt(17)
    np.testing.assert_allclose(signed_distances(labels, 2)[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_distances_equal_the_authors_formula(seed):
    labels = patches(seed, ignored=False)
    found = signed_distances(labels, 5) * math.hypot(*labels.shape)
    for k in range(5):
        own = labels == k
        expected = np.zeros(labels.shape)
        if own.any():
            expected = distance_transform_edt(~own) * ~own - (distance_transform_edt(own) - 1) * own
        np.testing.assert_allclose(found[k], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_ignored_pixels_are_no_boundary(seed):
    labels = patches(seed)
    found = signed_distances(labels, 4) * math.hypot(*labels.shape)
    assert (labels == 255).any()
    for k in np.unique(labels[labels != 255]):
        own, other = labels == k, (labels != k) & (labels != 255)
        to_own, to_other = distance_transform_edt(~own), distance_transform_edt(~other)
        np.testing.assert_allclose(found[k][other], to_own[other], rtol=1e-5)
        np.testing.assert_allclose(found[k][own], 1 - to_other[own], rtol=1e-5, atol=1e-5)
        assert not found[k][labels == 255].any()


@pytest.mark.parametrize("other", [0, 255])
def test_a_class_without_an_outline_has_no_distances(other):
    labels = np.full((4, 6), 2, dtype=np.uint8)
    assert not signed_distances(labels, 3).any()
    labels[1, 2] = other
    assert signed_distances(labels, 3).any() == (other == 0)


def test_distances_do_not_depend_on_resolution():
    """Up to the pixel by which an outline is thick."""
    labels = patches(1, ignored=False)
    fine = np.kron(labels, np.ones((8, 8), dtype=np.uint8))
    coarse = np.kron(signed_distances(labels, 4), np.ones((1, 8, 8)))
    assert np.abs(signed_distances(fine, 4) - coarse).max() < 1.5 / math.hypot(*labels.shape)


def test_loss_hand_worked():
    """Even chances pay half of all distances; a right prediction earns the depth of each area."""
    masks = torch.tensor([[[0, 0, 1, 1]]], dtype=torch.uint8)
    assert value_of(torch.zeros(1, 2, 1, 4), masks) == pytest.approx((1 + 1 + 1 + 1) / 2 / 4 / math.sqrt(17))
    right = torch.tensor([[50.0, 50, -50, -50], [-50, -50, 50, 50]]).reshape(1, 2, 1, 4)
    assert value_of(right, masks) == pytest.approx((-1 + 0 + 0 - 1) / 4 / math.sqrt(17))
    assert value_of(-right, masks) == pytest.approx((2 + 1 + 1 + 2) / 4 / math.sqrt(17))


def test_loss_equals_a_loop_with_scipy():
    masks = np.stack([patches(seed) for seed in (3, 4)])
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 13, 17, generator=generator)
    chance = logits.double().softmax(1).numpy()
    total = 0.0
    for image, labels in enumerate(masks):
        for k in range(5):
            own, other = labels == k, (labels != k) & (labels != 255)
            if own.any() and other.any():
                to_own, to_other = distance_transform_edt(~own), distance_transform_edt(~other)
                signed = np.where(own, 1 - to_other, np.where(other, to_own, 0)) / math.hypot(13, 17)
                total += float((signed * chance[image, k]).sum())
    expected = total / (masks != 255).sum()
    assert value_of(logits, torch.from_numpy(masks)) == pytest.approx(expected, rel=1e-5)


def test_descending_the_loss_moves_the_outline_to_the_target():
    masks = torch.from_numpy(patches(2, ignored=False))[None]
    logits = torch.zeros(1, 4, 13, 17, requires_grad=True)
    term = Boundary(BoundarySettings(), None)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(term.value(term.statistics(Scores(logits, Target(masks, 4)))), logits)
        logits = (logits - 500 * gradient).detach().requires_grad_()
    deep = torch.from_numpy(signed_distances(masks[0].numpy(), 4)).min(0).values < 0
    assert deep.any()
    assert torch.equal(logits.argmax(1)[0][deep], masks[0].long()[deep])
