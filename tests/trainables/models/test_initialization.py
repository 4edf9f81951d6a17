"""Drawn weights against the formulas of their papers, and what they leave alone."""

import math

import pytest
import torch
from safetensors.torch import save_file

from trainables.models.build import build_model
from trainables.models.settings import ModelSettings


def unet(**more):
    torch.manual_seed(0)
    return build_model(ModelSettings(name="unet", width=32, depth=2, **more), 3, 5).net


def test_xavier_is_uniform_within_its_bound():
    weight = unet(initialization="xavier").encoder[2][0].weight
    bound = math.sqrt(6 / (9 * (64 + 128)))
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_kaiming_has_the_deviation_of_fan_out():
    weight = unet(initialization="kaiming").encoder[2][0].weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.02)
    assert not unet(initialization="kaiming").segmentation_head.bias.any()


def test_what_a_file_gives_is_kept(tmp_path):
    given = unet().state_dict()
    save_file(given, tmp_path / "whole.safetensors")
    loaded = unet(initialization="xavier", weights=str(tmp_path / "whole.safetensors")).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in given.items())


def test_default_is_what_the_layers_draw():
    again = unet().state_dict()
    assert all(torch.equal(again[name], value) for name, value in unet(initialization="default").state_dict().items())
    assert not torch.equal(
        again["encoder.0.0.weight"], unet(initialization="xavier").state_dict()["encoder.0.0.weight"]
    )
