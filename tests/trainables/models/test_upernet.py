"""UPerNet: published counts, Hugging Face's own model as the reference, and its weights file."""

import pytest
import torch
from safetensors.torch import save_file
from transformers import ConvNextConfig, UperNetConfig, UperNetForSemanticSegmentation

from trainables.models.build import build_model, check_model
from trainables.models.errors import ModelError
from trainables.models.settings import ModelSettings
from trainables.models.table import build_net
from trainables.models.weights import read_tensors

ENCODER = "convnext_atto_linear"


@pytest.mark.parametrize(("depth", "expected"), [("head", 28_490), ("decoder", 32_334_154), ("all", 60_155_626)])
def test_published_trainable_parameters(depth, expected):
    with torch.device("meta"):
        net = build_net(ModelSettings(name="upernet", encoder="convnext_tiny"), 3, 37)
    net.unfreeze(depth)
    assert sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad) == expected


def hugging_face_model(classes):
    """Their UPerNet over a ConvNeXt of the size of timm's atto, with weights drawn at random."""
    backbone = ConvNextConfig(
        hidden_sizes=[40, 80, 160, 320],
        depths=[2, 2, 6, 2],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = UperNetConfig(
        backbone_config=backbone,
        hidden_size=512,
        auxiliary_channels=256,
        auxiliary_in_channels=160,
        num_labels=classes,
    )
    torch.manual_seed(0)
    model = UperNetForSemanticSegmentation(config)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            # Also what starts at 0 or 1, so that no name can be mistaken unseen.
            value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else 0.1 * torch.randn_like(value))
    return model.eval()


@pytest.fixture(scope="module")
def theirs():
    return hugging_face_model(classes=7)


@pytest.fixture(scope="module")
def weights_file(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file({name: value.contiguous() for name, value in theirs.state_dict().items()}, path)
    return path


def ours(weights, classes, channels=3, unfreeze="all"):
    settings = ModelSettings(name="upernet", encoder=ENCODER, weights=str(weights), unfreeze=unfreeze)
    return build_model(settings, channels, classes)


@pytest.fixture(scope="module", autouse=True)
def registered_encoder():
    """A timm ConvNeXt small enough for a test, with linear layers as convnext_tiny (atto itself has convolutions)."""
    from timm.models import register_model
    from timm.models.convnext import _create_convnext

    def convnext_atto_linear(pretrained=False, **kwargs):
        sizes = {"depths": (2, 2, 6, 2), "dims": (40, 80, 160, 320)}
        return _create_convnext("convnext_tiny", pretrained=pretrained, **{**sizes, **kwargs})

    register_model(convnext_atto_linear)


def test_logits_and_auxiliary_logits_are_hugging_faces(theirs, weights_file):
    net = ours(weights_file, classes=7).eval()
    images = torch.randn(2, 3, 64, 96)
    auxiliary = []
    hook = theirs.auxiliary_head.register_forward_hook(lambda module, inputs, output: auxiliary.append(output))
    with torch.no_grad():
        expected = theirs(images).logits
        logits, second = net.outputs(images)
        torch.testing.assert_close(net(images), logits)
    hook.remove()
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    resized = torch.nn.functional.interpolate(auxiliary[0], images.shape[-2:], mode="bilinear")
    torch.testing.assert_close(second, resized, atol=1e-4, rtol=1e-4)


def test_every_tensor_of_the_file_has_one_place(theirs, weights_file):
    net = ours(weights_file, classes=7)
    loaded = sorted(value.double().sum().item() for value in net.net.state_dict().values())
    given = sorted(value.double().sum().item() for value in theirs.state_dict().values())
    assert loaded == given


def test_another_number_of_classes_draws_both_classifiers_anew_and_head_is_allowed(theirs, weights_file):
    net = ours(weights_file, classes=5, unfreeze="head")
    assert net(torch.randn(1, 3, 64, 64)).shape == (1, 5, 64, 64)
    trained = {name for name, parameter in net.net.named_parameters() if parameter.requires_grad}
    heads = ("segmentation_head", "auxiliary_head")
    assert trained == {f"{head}.{kind}" for head in heads for kind in ("weight", "bias")}
    given = theirs.state_dict()["decode_head.fpn_bottleneck.conv.weight"]
    torch.testing.assert_close(net.net.decoder.fpn_bottleneck.conv.weight.detach(), given)


def test_their_older_pickled_file_is_the_same_and_head_is_accepted(theirs, weights_file, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save(theirs.state_dict(), path)
    check_model(ModelSettings(name="upernet", encoder=ENCODER, weights=str(path), unfreeze="head"))
    pickled, saved = read_tensors(path), read_tensors(weights_file)
    assert pickled.keys() == saved.keys()
    assert all(torch.equal(pickled[name], saved[name]) for name in saved)


def test_grey_images_take_the_sum_of_the_first_kernels(theirs, weights_file):
    net = ours(weights_file, classes=7, channels=1).eval()
    grey = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = theirs(grey.expand(-1, 3, -1, -1)).logits
        torch.testing.assert_close(net(grey), expected, atol=1e-4, rtol=1e-4)


def test_a_file_for_another_encoder_is_refused(weights_file):
    settings = ModelSettings(name="upernet", encoder="resnet18", weights=str(weights_file))
    with pytest.raises(ModelError, match="does not fit the model"):
        build_model(settings, 3, 7)


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenetv2_100"])
def test_encoders_with_batchnorm_get_no_norms_and_all_their_last_four_levels_train(encoder):
    net = build_net(ModelSettings(name="upernet", encoder=encoder), 3, 4)
    assert not list(net.net.encoder.norms.parameters())
    assert {"head", "decoder", "stage4", "stage3", "stage2", "stage1", "rest"} == set(net.parts.values())
    sum(output.square().mean() for output in net.outputs(torch.randn(2, 3, 50, 70))).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.slow
def test_an_encoder_with_channels_last_gives_its_levels_in_order():
    net = build_net(ModelSettings(name="upernet", encoder="swin_tiny_patch4_window7_224"), 3, 4).eval()
    with torch.no_grad():
        assert [level.shape[1:] for level in net.net.encoder(torch.randn(1, 3, 224, 224))] == [
            (96, 56, 56),
            (192, 28, 28),
            (384, 14, 14),
            (768, 7, 7),
        ]


def test_an_encoder_of_one_stride_is_refused():
    with pytest.raises(ModelError, match=r"upernet cannot be built over timm's vit_tiny_patch16_224 .*strides"):
        check_model(ModelSettings(name="upernet", encoder="vit_tiny_patch16_224"))
