"""The U-Net's published size, and its forward pass against a second writing of it."""

import pytest
import torch
from torch.nn import functional

from trainables.models.unet import UNet


def test_published_number_of_parameters():
    with torch.device("meta"):
        net = UNet(channels=3, classes=37, width=64, depth=4)
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
    net = UNet(channels, classes=5, width=4, depth=depth)
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(4, channels, 16, 24))  # moves the BatchNorm statistics off their start
        images = torch.randn(2, channels, 16, 24)
        torch.testing.assert_close(net.eval()(images), plain_unet(net.state_dict(), images, depth))
