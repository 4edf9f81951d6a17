"""A trial that does not do what it declared is an error."""

import pytest
import torch

from trainables.applied import prove_applied
from trainables.data.augment import build_pipeline
from trainables.inference import place
from trainables.losses.criterion import Criterion
from trainables.models.build import build_model
from trainables.optimizers import build_optimizer
from trainables.schedules import Schedule
from trainables.settings import TrialSettings

SETTINGS = TrialSettings.model_validate({"model": {"width": 2, "depth": 2}, "precision": "fp32"})


NAMES = ("soil", "sand", "rock", "sky")


def prove(declared, change=lambda net, optimizer: None):
    """Build by SETTINGS, change something, and prove it against other settings."""
    net = build_model(SETTINGS.model, 3, 4)
    optimizer = build_optimizer(net, SETTINGS.optimizer)
    schedule = Schedule(optimizer, SETTINGS.schedule, 2, 2)
    change(net, optimizer)
    pipeline = build_pipeline(SETTINGS.augment, (8, 8))
    inference = place(net, SETTINGS, torch.device("cpu"))
    settings = TrialSettings.model_validate({**SETTINGS.model_dump(), **declared})
    criterion = Criterion(SETTINGS.loss, None)
    return prove_applied(settings, net, optimizer, schedule, criterion, pipeline, inference, class_names=NAMES)


def freeze_one(net, optimizer):
    next(net.parameters()).requires_grad_(False)


def freeze_head(net, optimizer):
    net.net.segmentation_head.requires_grad_(False)


def forget_one(net, optimizer):
    optimizer.param_groups[0]["params"].pop()


def test_what_was_declared_is_in_force():
    applied = prove({})
    assert applied["unfrozen"] == ["head", "decoder", "stage4", "stage3", "stage2"]
    assert applied["trainable_parameters"] == applied["total_parameters"]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"optimizer": {"lr": 0.5}}, r"optimizer.lr of .*: declared 0.5, but 0.001 is in force"),
        ({"optimizer": {"weight_decay": 0.5}}, r"optimizer.weight_decay: declared 0.5, but 0.0 is in force"),
        ({"optimizer": {"name": "sgd"}}, r"optimizer.name: declared sgd, but adam is in force"),
        ({"loss": {"terms": {"dice": {"weight": 1}}}}, r"loss.terms: declared .*dice"),
        ({"loss": {"class_weights": "inverse"}}, r"loss.class_weights: declared True, but False is in force"),
        ({"model": {"width": 2, "depth": 2, "unfreeze": "decoder"}}, r"model.unfreeze: declared"),
    ],
)
def test_other_declarations_are_told(declared, message):
    with pytest.raises(RuntimeError, match=message):
        prove(declared)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (freeze_one, "only some parameters of .* train"),
        (freeze_head, r"model.unfreeze: declared"),
        (forget_one, "parameters of the optimizer: declared"),
    ],
)
def test_other_deeds_are_told(change, message):
    with pytest.raises(RuntimeError, match=message):
        prove({}, change)
