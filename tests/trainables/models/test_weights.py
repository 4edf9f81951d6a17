"""Weights from files: real ImageNet weights, whole models, and every tensor accounted for."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from trainables.models.build import build_model, check_model
from trainables.models.errors import ModelError
from trainables.models.settings import ModelSettings
from trainables.models.table import build_net

ENCODER = "mobilenetv3_small_050"


def settings_of(path=None, name="smp_unet", encoder=ENCODER, **rest):
    return ModelSettings(name=name, encoder=encoder, weights=None if path is None else str(path), **rest)


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
    net = timm.create_model(ENCODER)
    with torch.no_grad():
        net(torch.randn(4, 3, 64, 64))  # moves the BatchNorm statistics
    save_file(net.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("weights") / "best.pt"
    torch.save({"model": build_net(settings_of(), 3, 4).net.state_dict(), "epoch": 3}, path)
    return path


def edited(path, tmp_path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, tmp_path / "edited.safetensors")
    return tmp_path / "edited.safetensors"


@pytest.mark.parametrize("name", ["smp_unet", "deeplabv3plus", "pspnet"])
def test_imagenet_weights_reach_every_tensor_of_the_encoder(shared, name):
    path = shared / "weights" / "mobilenetv2_100_imagenet.safetensors"
    net = build_model(settings_of(path, name, encoder="mobilenetv2_100"), 3, 11)
    own, file = net.net.encoder.model.state_dict(), load_file(path)
    assert len(own) > 50
    assert all(torch.equal(value, file[key]) for key, value in own.items())


@pytest.mark.parametrize("encoder", ["convnext_atto", "resnet18", "swin_tiny_patch4_window7_224"])
def test_timm_names_reach_flattened_encoders(tmp_path, encoder):
    plain = timm.create_model(encoder)
    save_file(plain.state_dict(), tmp_path / "plain.safetensors")
    net = build_model(settings_of(tmp_path / "plain.safetensors", encoder=encoder), 3, 2)
    ours = {key.replace(".", "_"): value for key, value in net.net.encoder.model.state_dict().items()}
    theirs = {key.replace(".", "_"): value for key, value in plain.state_dict().items()}
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_grey_images_take_the_sum_of_the_first_convolutions_channels(encoder_file):
    net = build_model(settings_of(encoder_file), 1, 5)
    expected = load_file(encoder_file)["conv_stem.weight"].sum(1, keepdim=True)
    torch.testing.assert_close(net.net.encoder.model.conv_stem.weight.detach(), expected)


def test_the_decoder_stays_as_the_seed_made_it(encoder_file):
    torch.manual_seed(5)
    random = build_model(settings_of(), 3, 4).net.decoder.state_dict()
    torch.manual_seed(5)
    loaded = build_model(settings_of(encoder_file), 3, 4).net.decoder.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in random.items())


def test_a_tensor_without_a_place_is_refused(encoder_file, tmp_path):
    path = edited(encoder_file, tmp_path, lambda tensors: tensors.update(stray=torch.zeros(1)))
    with pytest.raises(ModelError, match=r"edited.safetensors does not fit the model: it holds stray without a place"):
        build_model(settings_of(path), 3, 4)


def test_a_lacking_tensor_is_refused(encoder_file, tmp_path):
    path = edited(encoder_file, tmp_path, lambda tensors: tensors.pop("bn1.running_mean"))
    with pytest.raises(ModelError, match=r"it lacks bn1.running_mean; check model.name"):
        build_model(settings_of(path), 3, 4)


def test_a_lacking_batch_counter_is_no_fault(encoder_file, tmp_path):
    path = edited(encoder_file, tmp_path, lambda tensors: tensors.pop("bn1.num_batches_tracked"))
    build_model(settings_of(path), 3, 4)


def test_weights_of_another_encoder_are_refused(encoder_file):
    with pytest.raises(ModelError, match=r"it lacks .* and \d+ more and holds"):
        build_model(settings_of(encoder_file, encoder="resnet18"), 3, 4)


def test_a_tensor_of_another_shape_is_refused(encoder_file, tmp_path):
    path = edited(encoder_file, tmp_path, lambda tensors: tensors.update({"bn1.weight": torch.ones(3)}))
    with pytest.raises(ModelError, match=r"bn1.weight is \(3,\) in the file and \(16,\) here \(1 tensors differ\)"):
        build_model(settings_of(path), 3, 4)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_whole_model_is_loaded_to_the_last_tensor(model_file, tmp_path, suffix):
    tensors = torch.load(model_file, weights_only=True)["model"]
    path = model_file
    if suffix == ".safetensors":
        path = tmp_path / "whole.safetensors"
        save_file(tensors, path)
    net = build_model(settings_of(path, unfreeze="head"), 3, 4)
    assert all(torch.equal(value, tensors[key]) for key, value in net.net.state_dict().items())
    assert net.unfrozen == ("head",)


def test_a_whole_models_head_is_new_for_other_classes(model_file):
    tensors = torch.load(model_file, weights_only=True)["model"]
    own = build_model(settings_of(model_file, unfreeze="head"), 3, 7).net.state_dict()
    differ = {key for key, value in own.items() if value.shape != tensors[key].shape or not value.equal(tensors[key])}
    assert differ == {"segmentation_head.0.weight", "segmentation_head.0.bias"}


def test_a_whole_model_of_another_decoder_is_refused(model_file):
    with pytest.raises(ModelError, match="does not fit the model: it lacks decoder"):
        build_model(settings_of(model_file, name="fpn"), 3, 4)


def test_unets_stages_can_be_frozen_with_a_whole_models_weights(tmp_path):
    settings = ModelSettings(width=2, depth=4)
    torch.save(build_net(settings, 3, 4).net.state_dict(), tmp_path / "unet.pt")
    frozen = settings.model_copy(update={"weights": str(tmp_path / "unet.pt"), "unfreeze": "stage3"})
    assert build_model(frozen, 3, 4).unfrozen == ("head", "decoder", "stage4", "stage3")
    with pytest.raises(ModelError, match=r"tensors differ"):
        build_model(frozen.model_copy(update={"width": 3}), 3, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (settings_of(unfreeze="head"), "model.unfreeze: head needs a pretrained decoder"),
        (ModelSettings(unfreeze="head"), "model.unfreeze: head would freeze random weights of unet"),
        (ModelSettings(unfreeze="decoder"), "model.unfreeze: decoder would freeze random weights of unet"),
        (ModelSettings(weights="download"), "model.weights: there is nothing to download for unet"),
        (settings_of("absent.safetensors"), "model.weights: absent.safetensors: no such file"),
        (settings_of("weights.ckpt"), "expected a file that ends in .safetensors or .pt or .bin"),
        (settings_of(encoder="mobilenetv2_10"), "timm has no 'mobilenetv2_10'; close names: mobilenetv2_100"),
        (settings_of(encoder="nonesuch"), r"timm has no 'nonesuch'; timm.list_models\(\) lists"),
        (settings_of(name="pspnet", unfreeze="stage1"), "model.unfreeze: this model has no stage1"),
        (settings_of(encoder="vit_tiny_patch16_224"), "cannot be built over timm's vit_tiny_patch16_224"),
    ],
)
def test_models_are_refused_without_data(settings, message):
    with pytest.raises(ModelError, match=message):
        check_model(settings)


def test_head_is_refused_with_weights_of_the_encoder_alone(encoder_file):
    with pytest.raises(ModelError, match="head needs a pretrained decoder"):
        check_model(settings_of(encoder_file, unfreeze="head"))


def test_an_encoders_weights_are_no_unets(encoder_file):
    with pytest.raises(ModelError, match="unet takes only a whole model's weights"):
        build_model(ModelSettings(weights=str(encoder_file), width=2), 3, 4)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_an_unreadable_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"\x80not weights at all")
    with pytest.raises(ModelError, match="cannot be read"):
        check_model(settings_of(path))


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"model": {"a": 1}}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match="holds no state dict"):
        check_model(settings_of(tmp_path / "other.pt"))


def test_a_model_is_checked_without_making_its_tensors(encoder_file):
    check_model(settings_of(encoder_file, unfreeze="stage2"))
    check_model(ModelSettings(width=100_000))
