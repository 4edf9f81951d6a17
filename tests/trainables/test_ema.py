"""Averaged weights against a plain loop."""

import pytest
import torch

from trainables.ema import AveragedWeights
from trainables.models.segmentation_net import SegmentationNet
from trainables.models.settings import ModelSettings
from trainables.models.table import build_net


def small_net(unfreeze="all"):
    torch.manual_seed(0)
    net = build_net(ModelSettings(width=2, depth=2), 3, 3)
    net.unfreeze(unfreeze)
    return net.train()


def walk(net: SegmentationNet, ema: AveragedWeights, steps: int) -> list[dict[str, torch.Tensor]]:
    """Move the weights that train and the BatchNorm statistics by forward passes; the states after each step."""
    generator = torch.Generator().manual_seed(1)
    states = []
    for step in range(steps):
        net(torch.randn(2, 3, 8, 8, generator=generator))
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator))
        ema.update(step)
        states.append({name: value.double().clone() for name, value in net.net.state_dict().items()})
    return states


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99])
def test_equals_a_plain_loop_with_the_ramp(decay):
    net = small_net()
    expected = {name: value.double().clone() for name, value in net.net.state_dict().items()}
    ema = AveragedWeights(net, decay)
    for step, state in enumerate(walk(net, ema, 6)):
        d = min(decay, (1 + step) / (10 + step))
        for name, value in state.items():
            expected[name] = value if name.endswith("num_batches_tracked") else d * expected[name] + (1 - d) * value
    assert ema.state_dict().keys() == expected.keys()
    assert any(name.endswith("running_var") for name in expected)
    for name, value in ema.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_hand_worked():
    """A weight of 1 that jumps to 2: the first step keeps a tenth of the past, so 0.1 + 1.8; the second 2 / 11."""
    net = small_net()
    bias = net.net.segmentation_head.bias
    with torch.no_grad():
        bias.fill_(1)
        ema = AveragedWeights(net, 0.9)
        bias.fill_(2)
        ema.update(0)
        assert ema.state_dict()["segmentation_head.bias"].tolist() == pytest.approx([1.9] * 3)
        ema.update(1)
    assert ema.state_dict()["segmentation_head.bias"].tolist() == pytest.approx([2 - 0.1 * 2 / 11] * 3)


def test_decay_zero_is_the_weights_themselves():
    net = small_net()
    ema = AveragedWeights(net, 0.0)
    walk(net, ema, 2)
    assert all(torch.equal(value, net.net.state_dict()[name]) for name, value in ema.state_dict().items())


def test_in_place_shows_the_averages_and_brings_every_bit_of_the_weights_back():
    net = small_net()
    ema = AveragedWeights(net, 0.9)
    walk(net, ema, 3)
    weights = {name: value.clone() for name, value in net.net.state_dict().items()}
    averages = {name: value.clone() for name, value in ema.state_dict().items()}

    def validate_and_fail():
        with ema.in_place():
            assert all(torch.equal(value, averages[name]) for name, value in net.net.state_dict().items())
            raise KeyError("out of memory")

    with pytest.raises(KeyError, match="out of memory"):
        validate_and_fail()
    assert all(torch.equal(value, weights[name]) for name, value in net.net.state_dict().items())
    assert all(torch.equal(value, averages[name]) for name, value in ema.state_dict().items())
    assert any(not torch.equal(averages[name], weights[name]) for name in weights)


def test_frozen_parts_have_no_average():
    net = small_net("decoder")
    ema = AveragedWeights(net, 0.9)
    walk(net, ema, 2)
    assert {name.split(".")[0] for name in ema.state_dict()} == {"decoder", "segmentation_head"}


def test_goes_on_from_its_state():
    nets = [small_net(), small_net()]
    averages = [AveragedWeights(net, 0.9) for net in nets]
    walk(nets[0], averages[0], 3)
    averages[1].load_state_dict({name: value.clone() for name, value in averages[0].state_dict().items()})
    nets[1].net.load_state_dict(nets[0].net.state_dict())
    for net, ema in zip(nets, averages, strict=True):
        walk(net, ema, 1)
    first, second = (ema.state_dict() for ema in averages)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
