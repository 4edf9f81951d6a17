"""The U-Net's published size, and its forward pass against a second writing of it."""

import itertools

import pytest
import torch
from torch.nn import functional

from trainables.models.settings import ModelSettings
from trainables.models.skips import SKIPS
from trainables.models.table import build_net
from trainables.models.unet import UNet
from trainables.models.unet_blocks import SqueezeExcitation


def test_published_number_of_parameters():
    with torch.device("meta"):
        net = UNet(3, 37, ModelSettings(width=64, depth=4))
    assert sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad) == 31_039_973


def plain_unet(weights, images, depth):
    """The same network as a plain function of its weights."""

    def double(x, prefix):
        for convolution, norm in (("0", "1"), ("3", "4")):
            x = functional.conv2d(x, weights[f"{prefix}.{convolution}.weight"], padding=1)
            scale, shift = weights[f"{prefix}.{norm}.weight"], weights[f"{prefix}.{norm}.bias"]
            mean, variance = weights[f"{prefix}.{norm}.running_mean"], weights[f"{prefix}.{norm}.running_var"]
            factor = scale / (variance + 1e-5).sqrt()
            x = (x - mean[:, None, None]) * factor[:, None, None] + shift[:, None, None]
            x = x.clamp_min(0)
        return x

    skips, x = [], images
    for level in range(depth + 1):
        if level:
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
        x = double(x, f"encoder.{level}")
        skips.append(x)
    for level, skip in enumerate(reversed(skips[:-1])):
        name = f"decoder.{level}.up"
        x = functional.conv_transpose2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2)
        x = double(torch.cat([skip, x], 1), f"decoder.{level}.merge")
    kernel, bias = weights["segmentation_head.weight"], weights["segmentation_head.bias"]
    return torch.einsum("bchw,kc->bkhw", x, kernel[:, :, 0, 0]) + bias[:, None, None]


@pytest.mark.parametrize(("channels", "depth"), [(3, 2), (1, 3)])
def test_forward_equals_a_second_writing(channels, depth):
    torch.manual_seed(0)
    net = UNet(channels, 5, ModelSettings(width=4, depth=depth))
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(4, channels, 16, 24))  # moves the BatchNorm statistics off their start
        images = torch.randn(2, channels, 16, 24)
        torch.testing.assert_close(net.eval()(images), plain_unet(net.state_dict(), images, depth))


def block(before, after, convolutions=2, norm=True):
    """Parameters of 3x3 convolutions without bias and their BatchNorms."""
    widths = [before] + [after] * convolutions
    return sum(9 * a * b + (2 * b if norm else 0) for a, b in itertools.pairwise(widths))


def squeeze(width):
    inner = max(4, width // 16)
    return width * inner + inner + inner * width + width


def counted(**options):
    net = build_net(ModelSettings(name="unet", width=4, depth=2, **options), 1, 3)
    return sum(parameter.numel() for parameter in net.parameters())


PLAIN = (
    block(1, 4) + block(4, 8) + block(8, 16)  # encoder
    + (16 * 8 * 4 + 8) + block(16, 8) + (8 * 4 * 4 + 4) + block(8, 4)  # decoder
    + 4 * 3 + 3
)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({}, 0),
        ({"convolutions": 3}, sum(9 * w * w + 2 * w for w in (4, 8, 16, 8, 4))),
        ({"norm": "instance"}, -sum(2 * 2 * w for w in (4, 8, 16, 8, 4))),
        ({"upsampling": "nearest"}, 5 * 16 * 8 + 5 * 8 * 4),  # nine weights where a transposed kernel has four
        ({"upsampling": "bilinear"}, 5 * 16 * 8 + 5 * 8 * 4),
        ({"bottleneck": "se"}, squeeze(16)),
        ({"bottleneck": "pyramid"}, 4 * (16 * 4 + 4) + block(32, 16, 1)),
        ({"bottleneck": "se_pyramid"}, squeeze(16) + 4 * (16 * 4 + 4) + block(32, 16, 1)),
        ({"squeeze_excitation": True}, squeeze(16) + 2 * squeeze(8) + 2 * squeeze(4)),
        ({"squeeze_excitation": True, "bottleneck": "se"}, squeeze(16) + 2 * squeeze(8) + 2 * squeeze(4)),
        ({"skips": "gate_add"}, sum(2 * w * w + w - 9 * w * w for w in (8, 4))),
        ({"skips": "gate_concat"}, sum(2 * w * w + w for w in (8, 4))),
        ({"skips": "attention"}, sum(w * w // 2 + (w * w // 2 + w // 2) + (w // 2 + 1) for w in (8, 4))),
        ({"deep_supervision": True}, 8 * 3 + 3),
    ],
)
def test_parameters_of_each_option_by_hand(options, more):
    assert counted(**options) == PLAIN + more


OPTIONS = {
    "convolutions": [2, 3],
    "norm": ["batch", "instance"],
    "upsampling": ["transposed", "nearest", "bilinear"],
    "bottleneck": ["plain", "se", "pyramid", "se_pyramid"],
    "squeeze_excitation": [False, True],
    "skips": ["plain", "gate_add", "gate_concat", "attention"],
    "deep_supervision": [False, True],
}


@pytest.mark.parametrize(("option", "value"), [(key, value) for key, values in OPTIONS.items() for value in values])
@pytest.mark.parametrize("size", [(9, 17), (16, 24)])
def test_every_option_trains_on_images_of_any_size(option, value, size):
    net = build_net(ModelSettings(name="unet", width=4, depth=3, **{option: value}), 1, 3)
    # BatchNorm needs two values per channel, and the smaller image is one pixel at the deepest level.
    outputs = net.outputs(torch.randn(1 if option == "norm" and value == "instance" else 2, 1, *size))
    assert {output.shape[1:] for output in outputs} == {(3, *size)}
    sum(output.square().mean() for output in outputs).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_gates_by_hand():
    skip, features = torch.tensor([[[[2.0]], [[3.0]]]]), torch.tensor([[[[5.0]], [[7.0]]]])
    expected = {"gate_add": [2 * 0.5 + 5, 3 * 0.5 + 7], "gate_concat": [1.0, 1.5, 5, 7], "attention": [1.0, 1.5, 5, 7]}
    for name, values in expected.items():
        gate = SKIPS[name].build(2)
        for parameter in gate.parameters():
            torch.nn.init.zeros_(parameter)  # a sigmoid of 0 is one half
        assert gate(skip, features).flatten().tolist() == values


def test_squeeze_and_excitation_scales_channels_alone():
    torch.manual_seed(0)
    module = SqueezeExcitation(8)
    features = torch.rand(2, 8, 4, 6) + 0.1
    ratio = module(features) / features
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio))
    assert ((ratio > 0) & (ratio < 1)).all()


def test_deep_supervision_has_one_output_per_stage_below_full_resolution():
    net = build_net(ModelSettings(name="unet", width=4, depth=3, deep_supervision=True), 1, 3).eval()
    images = torch.randn(1, 1, 16, 24)
    assert [tuple(output.shape[-2:]) for output in net.net.outputs(images)] == [(16, 24), (4, 6), (8, 12)]
    assert torch.equal(net.outputs(images)[0], net(images))
    assert {net.parts[name] for name in net.parts if name.startswith("auxiliary_head")} == {"head"}
