"""Every model of the table over real timm encoders: shapes, padding, and what is refused."""

import typing

import pytest
import torch

from trainables.models.errors import ModelError
from trainables.models.settings import ModelName, ModelSettings
from trainables.models.table import MODELS, build_net

OVER_TIMM = [name for name, row in MODELS.items() if row.over_timm]


def test_every_name_of_the_settings_has_a_row():
    assert set(typing.get_args(ModelName)) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(50, 67), (64, 96)])
def test_logits_have_the_images_size(name, size):
    torch.manual_seed(0)
    net = build_net(ModelSettings(name=name, width=4, depth=3, encoder="mobilenetv3_small_050"), 3, 5).eval()
    with torch.no_grad():
        assert net(torch.randn(1, 3, *size)).shape == (1, 5, *size)


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"upernet"}))
def test_outputs_are_the_logits_alone_without_auxiliary_ones(name):
    net = build_net(ModelSettings(name=name, width=4, depth=3, encoder="mobilenetv3_small_050"), 3, 5).eval()
    images = torch.randn(1, 3, 50, 67)
    with torch.no_grad():
        (logits,) = net.outputs(images)
        assert torch.equal(logits, net(images))


def train_once(name, encoder, channels):
    torch.manual_seed(0)
    net = build_net(ModelSettings(name=name, encoder=encoder), channels, 4)
    net(torch.randn(MODELS[name].smallest_batch, channels, 40, 70)).square().mean().backward()
    return [parameter.grad is not None for parameter in net.parameters()]


@pytest.mark.parametrize("name", OVER_TIMM)
def test_every_decoder_trains_and_holds_hardly_anything_unused(name):
    trained = train_once(name, "mobilenetv3_small_050", 3)
    assert sum(trained) > 0.9 * len(trained)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smp_unet", "pspnet", "deeplabv3plus"])
@pytest.mark.parametrize("encoder", ["resnet18", "convnext_atto", "regnetx_002"])
def test_encoders_of_other_families_train_on_grey_images(name, encoder):
    trained = train_once(name, encoder, 1)
    assert sum(trained) > 0.9 * len(trained)


def test_smallest_batch_is_what_training_needs():
    net = build_net(ModelSettings(name="deeplabv3", encoder="mobilenetv3_small_050"), 3, 4)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        net(torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize("name", ["unet", "smp_unet"])
def test_padding_repeats_the_border_and_is_cropped(name):
    torch.manual_seed(0)
    net = build_net(ModelSettings(name=name, width=4, depth=3, encoder="mobilenetv3_small_050"), 3, 5).eval()
    images = torch.randn(2, 3, 50, 60)
    by_hand = torch.cat([images, images[:, :, -1:].expand(-1, -1, 14, -1)], 2)
    by_hand = torch.cat([by_hand, by_hand[..., -1:].expand(-1, -1, -1, 4)], 3)
    with torch.no_grad():
        torch.testing.assert_close(net(images), net(by_hand)[..., :50, :60], atol=1e-3, rtol=1e-3)


def test_encoder_that_does_not_fit_is_refused():
    with pytest.raises(ModelError, match=r"model.encoder: smp_unet cannot be built over timm's vit_tiny"):
        build_net(ModelSettings(name="smp_unet", encoder="vit_tiny_patch16_224"), 3, 5)
    with pytest.raises(ModelError, match="choose another encoder"):
        build_net(ModelSettings(name="deeplabv3", encoder="vgg11"), 3, 5)
