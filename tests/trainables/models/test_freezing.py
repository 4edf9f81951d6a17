"""Parts of models, and that what is frozen does not move."""

import itertools

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn

from trainables.models.errors import ModelError
from trainables.models.settings import ModelSettings
from trainables.models.table import MODELS, build_net

DEPTHS = ("head", "decoder", "stage4", "stage3", "stage2", "stage1", "all")


def net_of(name="smp_unet", encoder="mobilenetv2_100", **rest):
    torch.manual_seed(0)
    return build_net(ModelSettings(name=name, encoder=encoder, **rest), 3, 4)


def modules_of(net, part):
    """Shortest names of the modules that hold the part's parameters."""
    names = [name for name, module in net.net.named_modules() if net.parts[name] == part]
    return {name for name in names if not any(name.startswith(f"{other}.") for other in names)}


@pytest.mark.parametrize(
    ("encoder", "stages", "stem"),
    [
        (
            "mobilenetv2_100",
            [{"blocks.5", "blocks.6"}, {"blocks.3", "blocks.4"}, {"blocks.2"}, {"blocks.1"}],
            {"conv_stem", "bn1", "blocks.0"},
        ),
        ("resnet18", [{"layer4"}, {"layer3"}, {"layer2"}, {"layer1", "maxpool"}], {"conv1", "bn1", "act1"}),
        ("convnext_atto", [{f"stages_{i}"} for i in (3, 2, 1, 0)], {"stem_0", "stem_1"}),
        (
            "efficientnet_b0",
            [{"blocks.5", "blocks.6"}, {"blocks.3", "blocks.4"}, {"blocks.2"}, {"blocks.1"}],
            {"blocks.0"},
        ),
    ],
)
def test_stages_are_the_last_four_feature_levels_and_the_stem_is_in_none(encoder, stages, stem):
    net = net_of(encoder=encoder)
    for part, expected in zip(("stage4", "stage3", "stage2", "stage1"), stages, strict=True):
        assert {name.removeprefix("encoder.model.") for name in modules_of(net, part)} == expected
    for name in stem:
        assert {part for module, part in net.parts.items() if module.startswith(f"encoder.model.{name}")} == {"rest"}
    assert modules_of(net, "decoder") == {"decoder"}
    assert modules_of(net, "head") == {"segmentation_head"}


def test_unets_stages_are_its_last_four_levels():
    net = net_of("unet", width=2, depth=4)
    assert [modules_of(net, f"stage{i}") for i in (4, 3, 2, 1)] == [{f"encoder.{i}"} for i in (4, 3, 2, 1)]
    assert net.parts["encoder.0.0"] == "rest"


@pytest.mark.parametrize(("name", "rest"), [("unet", {"width": 2, "depth": 4}), ("fpn", {}), ("deeplabv3plus", {})])
def test_depths_are_cumulative_and_all_is_everything(name, rest):
    net = net_of(name, **rest)
    seen = []
    for depth in DEPTHS:
        net.unfreeze(depth)
        seen.append({name for name, parameter in net.named_parameters() if parameter.requires_grad})
    assert all(before < after for before, after in itertools.pairwise(seen))
    assert seen[-1] == {name for name, _ in net.named_parameters()}
    assert all(name.startswith("net.segmentation_head.") for name in seen[0])
    assert not any(name.startswith("net.encoder.") for name in seen[1])


@pytest.mark.parametrize("depth", DEPTHS)
def test_whatever_is_frozen_keeps_every_bit_in_training(depth):
    net = net_of("fpn", encoder="mobilenetv3_small_050")
    net.unfreeze(depth)
    net.train()
    frozen_modules = {name for name, part in net.parts.items() if part not in net.unfrozen}
    before = {name: value.clone() for name, value in net.net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        net(torch.randn(2, 3, 32, 32)).square().mean().backward()
        optimizer.step()
    moved = {name for name, value in net.net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert not {name for name in moved if name.rsplit(".", 1)[0] in frozen_modules}


def test_frozen_parts_stay_in_eval_mode_and_the_others_follow():
    net = net_of("fpn")
    net.unfreeze("stage4")
    for mode in (True, False, True):
        net.train(mode)
        for name, module in net.net.named_modules():
            expected = mode and net.parts[name] in ("head", "decoder", "stage4")
            assert module.training is expected, name
    norms = [module for module in net.net.encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {True, False}


def test_thawing_deeper_lets_parts_train_again():
    net = net_of("fpn", encoder="mobilenetv3_small_050")
    net.unfreeze("decoder")
    net.unfreeze("all")
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(module.training for module in net.net.modules())


@pytest.mark.parametrize(
    ("name", "rest", "depth", "has"),
    [
        ("unet", {"width": 2, "depth": 2}, "stage1", "head, decoder, stage4, stage3, stage2, all"),
        ("pspnet", {}, "stage1", "head, decoder, stage4, stage3, stage2, all"),
    ],
)
def test_a_depth_that_does_not_exist_is_refused(name, rest, depth, has):
    with pytest.raises(ModelError, match=f"model.unfreeze: this model has no {depth}; it has {has}"):
        net_of(name, **rest).unfreeze(depth)


SMP = {
    "smp_unet": smp.Unet,
    "unet++": smp.UnetPlusPlus,
    "fpn": smp.FPN,
    "pspnet": smp.PSPNet,
    "deeplabv3": smp.DeepLabV3,
    "deeplabv3plus": smp.DeepLabV3Plus,
    "linknet": smp.Linknet,
    "manet": smp.MAnet,
    "pan": smp.PAN,
    "segformer": smp.Segformer,
}
# The stem, then the modules of each feature level, by timm's names; resnet18's first level is the stem's activation.
LEVELS = {
    "resnet18": (("conv1", "bn1"), (), ("layer1",), ("layer2",), ("layer3",), ("layer4",)),
    "mobilenetv2_100": (
        ("conv_stem", "bn1"),
        ("blocks.0",),
        ("blocks.1",),
        ("blocks.2",),
        ("blocks.3", "blocks.4"),
        ("blocks.5", "blocks.6"),
    ),
}


def test_every_decoder_of_smp_is_counted():
    assert set(SMP) == {name for name, row in MODELS.items() if row.over_timm} - {"upernet", "resnet_fcn"}


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenetv2_100"])
@pytest.mark.parametrize("name", SMP)
def test_trained_and_frozen_parameters_of_every_decoder_at_every_depth(name, encoder):
    with torch.device("meta"):
        net = net_of(name, encoder)
        reference = SMP[name](f"tu-{encoder}", encoder_weights=None, classes=4)
        plain = timm.create_model(encoder)
    stem, *levels = [sum(count(plain.get_submodule(module)) for module in level) for level in LEVELS[encoder]]
    used = levels[:3] if name == "pspnet" else levels
    # PSPNet takes three levels: the stem lies before them and belongs to no stage.
    decoder = count(reference.segmentation_head) + count(reference.decoder)
    expected = {"head": count(reference.segmentation_head), "decoder": decoder}
    expected |= {f"stage{4 - i}": decoder + sum(used[-1 - i :]) for i in range(min(4, len(used)))}
    expected["all"] = total = decoder + stem + sum(used)
    for depth, trained in expected.items():
        net.unfreeze(depth)
        by_state = {flag: sum(p.numel() for p in net.parameters() if p.requires_grad is flag) for flag in (True, False)}
        assert (depth, by_state) == (depth, {True: trained, False: total - trained})


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())
