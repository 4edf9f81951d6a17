"""The networks of the VOC report: their tables by number of parameters, and what they do with sizes."""

import pytest
import timm
import torch

from trainables.models.build import check_model
from trainables.models.errors import ModelError
from trainables.models.fcn import FCN, FCNUnpool
from trainables.models.settings import ModelSettings
from trainables.models.table import build_net


def layer(before, after, kernel=3):
    """Parameters of a convolution with bias and of a BatchNorm."""
    return before * after * kernel**2 + after + 2 * after


def test_table_1_by_its_own_columns():
    encoder = [(3, 32), (32, 64), (64, 128), (128, 256), (256, 512)]
    decoder = [(512, 512), (512, 256), (256, 128), (128, 64), (64, 32)]
    expected = sum(layer(*row) for row in encoder + decoder) + 32 * 21 + 21
    assert sum(parameter.numel() for parameter in FCN(3, 21).parameters()) == expected


def test_table_2_by_its_own_columns():
    encoder = [(3, 32), (32, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    decoder = [(1024, 512), (512, 256), (256, 128), (128, 64), (64, 32), (32, 32)]
    expected = sum(layer(*row) for row in encoder + decoder) + 32 * 21 + 21
    assert sum(parameter.numel() for parameter in FCNUnpool(3, 21).parameters()) == expected


def test_table_3_is_timms_resnet_and_its_decoder():
    encoder = timm.create_model("resnet34", num_classes=0)
    decoder = [(512, 256), (256, 128), (128, 64), (64, 32), (32, 16)]
    expected = sum(parameter.numel() for parameter in encoder.parameters())
    expected += sum(layer(*row) for row in decoder) + 16 * 21 + 21
    net = build_net(ModelSettings(name="resnet_fcn", encoder="resnet34"), 3, 21)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


@pytest.mark.parametrize(("model", "strides"), [(FCN, [2, 4, 8, 16, 32]), (FCNUnpool, [2, 2, 4, 8, 16, 32])])
def test_strides_of_each_convolution_and_logits_of_the_images_size(model, strides):
    net = model(3, 4).eval()
    found = []
    for layer in net.encoder:
        layer.register_forward_hook(lambda module, inputs, output: found.append(128 // output.shape[-2]))
    assert net(torch.randn(2, 3, 128, 64)).shape == (2, 4, 128, 64)
    assert found == strides  # the second pools after each but the first


def test_unpooling_puts_values_back_where_they_came_from():
    net = FCNUnpool(1, 2)
    features = torch.rand(1, 4, 8, 8)
    pooled, indices = net.pool(features)
    back = net.unpool(pooled, indices)
    rows = features.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
    assert torch.equal(back.unfold(2, 2, 2).unfold(3, 2, 2).sum((-1, -2)), rows)
    assert torch.equal(back[back > 0], features[back > 0])


@pytest.mark.parametrize("name", ["fcn", "fcn_unpool", "resnet_fcn"])
def test_one_small_image_trains(name):
    net = build_net(ModelSettings(name=name, encoder="resnet18"), 1, 3)
    net(torch.randn(1, 1, 30, 20)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_an_encoder_of_one_stride_is_refused():
    with pytest.raises(ModelError, match="resnet_fcn cannot be built over timm's vit_tiny_patch16_224"):
        check_model(ModelSettings(name="resnet_fcn", encoder="vit_tiny_patch16_224"))
