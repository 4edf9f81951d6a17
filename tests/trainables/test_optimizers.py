"""Optimizers against torch's own plain loops, and what they are given."""

import typing

import pytest
import torch
from torch import nn

from trainables.models.settings import ModelSettings
from trainables.models.table import build_net
from trainables.optimizer_settings import OptimizerSettings
from trainables.optimizers import OPTIMIZERS, build_optimizer, part_rates

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


def unet(unfreeze="all"):
    torch.manual_seed(0)
    net = build_net(ModelSettings(width=2, depth=3), 3, 3)
    net.unfreeze(unfreeze)
    return net


def test_without_layer_decay_there_is_one_group_in_the_order_of_the_model():
    net = unet()
    (group,) = build_optimizer(net, OptimizerSettings()).param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in net.parameters()]
    assert "part" not in group


def test_layer_decay_gives_each_part_its_rate():
    net = unet()
    optimizer = build_optimizer(net, OptimizerSettings(lr=0.8, layer_decay=0.5))
    rates = {group["part"]: group["lr"] for group in optimizer.param_groups}
    assert rates == {"head": 0.8, "decoder": 0.4, "stage4": 0.2, "stage3": 0.1, "stage2": 0.05, "stage1": 0.025}
    assert part_rates(net, OptimizerSettings(lr=0.8, layer_decay=0.5)).items() >= rates.items()
    given = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(given) == sorted(id(p) for p in net.parameters())


def test_layer_decay_of_an_encoder_with_a_stem_goes_down_to_the_rest():
    net = build_net(ModelSettings(name="smp_unet", encoder="mobilenetv3_small_050"), 3, 2)
    rates = part_rates(net, OptimizerSettings(lr=1.0, layer_decay=0.1))
    assert list(rates) == ["head", "decoder", "stage4", "stage3", "stage2", "stage1", "rest"]
    assert list(rates.values()) == pytest.approx([10**-k for k in range(7)])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_of_each_part_equal_a_plain_optimizer_at_its_rate(name):
    ours, theirs = unet(), unet()
    settings = OptimizerSettings(name=name, lr=0.1, weight_decay=0.2, layer_decay=0.5)
    rates = part_rates(theirs, settings)
    peers = []
    for module_name, module in theirs.net.named_modules():
        if members := list(module.parameters(recurse=False)):
            peers.append(PLAIN[name](members))
            peers[-1].param_groups[0]["lr"] = rates[theirs.parts[module_name]]
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    for net, optimizers in ((ours, [build_optimizer(ours, settings)]), (theirs, peers)):
        for _ in range(2):
            net.zero_grad()
            net(images).square().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_frozen_parts_have_no_group():
    optimizer = build_optimizer(unet("stage4"), OptimizerSettings(lr=1.0, layer_decay=0.5))
    assert {group["part"]: group["lr"] for group in optimizer.param_groups} == {
        "head": 1,
        "decoder": 0.5,
        "stage4": 0.25,
    }
