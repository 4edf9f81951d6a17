"""A trial that does not do what it declared is an error."""

import pytest
import torch

from trainables.applied import prove_applied
from trainables.clip import GradientClip
from trainables.data.augment import build_pipeline
from trainables.ema import AveragedWeights
from trainables.inference import place
from trainables.losses.criterion import build_criterion
from trainables.models.build import build_model
from trainables.optimizers import build_optimizer
from trainables.schedules import Schedule
from trainables.settings import TrialSettings

SETTINGS = TrialSettings.model_validate({"model": {"width": 2, "depth": 2}, "precision": "fp32"})
EVERYTHING = TrialSettings.model_validate(
    {
        "model": {"width": 2, "depth": 2, "unfreeze": "all"},
        "precision": "fp32",
        "optimizer": {"lr": 0.8, "layer_decay": 0.5, "clip_norm": 2.5, "ema": 0.9},
        "loss": {
            "terms": {
                "cross_entropy": {"label_smoothing": 0.1},
                "focal": {"weight": 0.5, "gamma": 3},
                "boundary": {"weight": 0.2, "warmup_epochs": 1},
            },
            "class_weights": "by_hand",
            "weights_by_hand": {"rock": 3, "sand": 0},
            "ignore_target": ["sky"],
            "auxiliary": 0.3,
        },
    }
)
NAMES = ("soil", "sand", "rock", "sky")
WEIGHTS = [0.75, 0.0, 2.25, 0.0]  # 1, 0, 3 with mean 1; no training pixel of sky


def prove(declared, change=lambda net, optimizer: None, built=SETTINGS, weights=None):
    """Build by settings, change something, and prove it against other settings."""
    net = build_model(built.model, 3, 4)
    optimizer = build_optimizer(net, built.optimizer)
    schedule = Schedule(optimizer, built.schedule, 2, 2)
    clip = GradientClip(optimizer, built.optimizer.clip_norm) if built.optimizer.clip_norm else None
    ema = AveragedWeights(net, built.optimizer.ema) if built.optimizer.ema else None
    change(net, optimizer)
    pipeline = build_pipeline(built.augment, (8, 8))
    inference = place(net, built, torch.device("cpu"))
    criterion = build_criterion(built.loss, weights, NAMES, torch.device("cpu"))
    settings = TrialSettings.model_validate({**built.model_dump(), **declared})
    return prove_applied(
        settings,
        net,
        optimizer,
        schedule,
        criterion,
        pipeline,
        inference,
        class_names=NAMES,
        clip=clip,
        ema=ema,
    )


def changed(section, **values):
    """A section of EVERYTHING with some leaves replaced, by dotted path."""
    content = EVERYTHING.model_dump()[section]
    for path, value in values.items():
        *outer, last = path.split("__")
        place = content
        for key in outer:
            place = place[key]
        place[last] = value
    return {section: content}


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
    assert applied["lr_peaks"] == dict.fromkeys(applied["unfrozen"], 1e-3)
    assert applied["clip_norm"] is applied["ema"] is applied["class_weights"] is None


def test_everything_in_force_is_told():
    applied = prove({}, built=EVERYTHING, weights=WEIGHTS)
    told = {
        "lr_peak": 0.8,
        "lr_peaks": {"head": 0.8, "decoder": 0.4, "stage4": 0.2, "stage3": 0.1, "stage2": 0.05},
        "clip_norm": 2.5,
        "ema": 0.9,
        "class_weights": WEIGHTS,
        "loss_terms": {"cross_entropy": 1.0, "focal": 0.5, "boundary": 0.2},
        "loss_parameters": {
            "cross_entropy": {"label_smoothing": 0.1},
            "focal": {"gamma": 3.0},
            "boundary": {"warmup_epochs": 1.0},
        },
        "loss_ignore_target": ["sky"],
        "loss_auxiliary": 0.3,
    }
    assert {name: applied[name] for name in told} == told


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
    ("declared", "message"),
    [
        (changed("optimizer", layer_decay=1.0), r"optimizer.lr of .*: declared 0.8, but 0.\d+ is in force"),
        (changed("optimizer", clip_norm=None), r"optimizer.clip_norm: declared None, but 2.5 is in force"),
        (changed("optimizer", ema=0.5), r"optimizer.ema: declared 0.5, but 0.9 is in force"),
        (changed("loss", terms__focal__gamma=1), r"loss.terms.focal: declared .*1.0.*, but .*3.0.* is in force"),
        (changed("loss", terms__cross_entropy__label_smoothing=0), r"loss.terms.cross_entropy: declared"),
        (changed("loss", terms__boundary__warmup_epochs=2), r"loss.terms.boundary: declared"),
        (changed("loss", ignore_target=["soil"]), r"loss.ignore_target: declared \('soil',\), but \('sky',\) is"),
        (changed("loss", auxiliary=0.4), r"loss.auxiliary: declared 0.4, but 0.3 is in force"),
        (changed("loss", weights_by_hand={"rock": 4}), r"loss.weights_by_hand: declared \[1.0, 1.0, 4.0, 1.0\]"),
    ],
)
def test_other_declarations_of_everything_are_told(declared, message):
    with pytest.raises(RuntimeError, match=message):
        prove(declared, built=EVERYTHING, weights=WEIGHTS)


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
