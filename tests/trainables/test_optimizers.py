"""Optimizers against torch's own plain loops, and what they are given."""

import typing

import pytest
import torch
from torch import nn

from trainables.optimizer_settings import OptimizerSettings
from trainables.optimizers import OPTIMIZERS, build_optimizer

PLAIN = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.2, foreach=False),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.2, foreach=False),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.2, momentum=0.9, nesterov=True, foreach=False),
}


def small_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))


def test_every_name_of_the_settings_has_a_row():
    assert set(typing.get_args(OptimizerSettings.model_fields["name"].annotation)) == set(OPTIMIZERS) == set(PLAIN)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_equal_the_plain_optimizer(name):
    ours, theirs = small_model(), small_model()
    pairs = [
        (ours, build_optimizer(ours, OptimizerSettings(name=name, lr=0.1, weight_decay=0.2))),
        (theirs, PLAIN[name](theirs.parameters())),
    ]
    for model, optimizer in pairs:
        for step in range(3):
            optimizer.zero_grad()
            model(torch.full((1, 3), step + 1.0)).square().sum().backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_only_parameters_that_train_are_given():
    model = small_model()
    model[0].requires_grad_(False)
    given = build_optimizer(model, OptimizerSettings()).param_groups[0]["params"]
    assert [id(p) for p in given] == [id(p) for p in model[1].parameters()]


def test_sgd_without_momentum_is_accepted():
    assert not build_optimizer(small_model(), OptimizerSettings(name="sgd", momentum=0)).param_groups[0]["nesterov"]


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="leaves no parameter that trains"):
        build_optimizer(small_model().requires_grad_(False), OptimizerSettings())
