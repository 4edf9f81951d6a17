"""Clipping against the norm over all gradients."""

import math

import pytest
import torch

from trainables.clip import GradientClip


def two_groups(scale):
    """Gradients (3, 4) and (12,) times a scale: their norm is 13."""
    first, second = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))
    first.grad, second.grad = torch.tensor([3.0, 4.0]) * scale, torch.tensor([12.0]) * scale
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=0.1)
    return optimizer, first, second


def test_the_norm_is_that_of_all_groups_together():
    optimizer, first, second = two_groups(scale=10)
    GradientClip(optimizer, 6.5)()
    assert first.grad.tolist() == pytest.approx([1.5, 2.0], rel=1e-5)
    assert second.grad.tolist() == pytest.approx([6.0], rel=1e-5)


def test_a_smaller_gradient_keeps_every_bit():
    optimizer, first, second = two_groups(scale=0.1)
    before = first.grad.clone(), second.grad.clone()
    GradientClip(optimizer, 6.5)()
    assert torch.equal(first.grad, before[0])
    assert torch.equal(second.grad, before[1])


def test_parameters_without_a_gradient_are_passed_over():
    optimizer, first, second = two_groups(scale=1)
    second.grad = None
    GradientClip(optimizer, 1.0)()
    assert first.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-5)


def test_a_gradient_that_is_not_finite_stays_so():
    optimizer, first, _ = two_groups(scale=math.inf)
    GradientClip(optimizer, 1.0)()
    assert first.grad.isnan().any()
