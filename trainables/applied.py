"""Proof that what a trial declared is what it does."""

from typing import Any

import torch
from albumentations import Compose
from torch.optim import Optimizer

from trainables.data.augment import serialise
from trainables.inference import Inference
from trainables.losses.criterion import Criterion
from trainables.models.parts import trained_parts
from trainables.models.segmentation_net import SegmentationNet
from trainables.schedules import Schedule
from trainables.settings import TrialSettings


def prove_applied(
    settings: TrialSettings,
    net: SegmentationNet,
    optimizer: Optimizer,
    schedule: Schedule,
    criterion: Criterion,
    pipeline: Compose,
    inference: Inference,
) -> dict[str, Any]:
    """What is really in force, read from the objects that train; raises RuntimeError if the settings say otherwise."""
    training = {id(parameter) for parameter in net.parameters() if parameter.requires_grad}
    unfrozen = _unfrozen_parts(net)
    optimized = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    _must_equal(
        "model.unfreeze", set(unfrozen), _with_parameters(net, trained_parts(net.parts, settings.model.unfreeze))
    )
    _must_equal("parameters of the optimizer", {id(parameter) for parameter in optimized}, training)
    for group, peak in zip(optimizer.param_groups, schedule.peaks, strict=True):
        _must_equal("optimizer.lr", peak, settings.optimizer.lr)
        _must_equal("optimizer.weight_decay", group["weight_decay"], settings.optimizer.weight_decay)
    _must_equal("optimizer.name", type(optimizer).__name__.lower(), settings.optimizer.name)
    terms = {name: term["weight"] for name, term in settings.loss.terms.model_dump().items() if term["weight"] > 0}
    _must_equal("loss.terms", criterion.factors, terms)
    _must_equal("loss.class_weights", criterion.weights_K is not None, settings.loss.class_weights != "none")
    return {
        "trainable_parameters": sum(parameter.numel() for parameter in optimized),
        "total_parameters": sum(parameter.numel() for parameter in net.parameters()),
        "optimizer": type(optimizer).__name__,
        "lr_peak": max(schedule.peaks),
        "class_weights": None if criterion.weights_K is None else criterion.weights_K.tolist(),
        "loss_terms": dict(criterion.factors),
        "augmentations": serialise(pipeline),
        "unfrozen": list(unfrozen),
        "precision": inference.precision,
        "device": inference.device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _unfrozen_parts(net: SegmentationNet) -> tuple[str, ...]:
    """Parts whose parameters all train; raises RuntimeError for a part that trains by halves."""
    states: dict[str, set[bool]] = {}
    for name, module in net.net.named_modules():
        for parameter in module.parameters(recurse=False):
            states.setdefault(net.parts[name], set()).add(parameter.requires_grad)
    if halves := [part for part, trains in states.items() if len(trains) > 1]:
        raise RuntimeError(f"only some parameters of {', '.join(halves)} train")
    return tuple(part for part in trained_parts(net.parts, "all") if states.get(part) == {True})


def _with_parameters(net: SegmentationNet, parts: tuple[str, ...]) -> set[str]:
    """Those of the parts that have any parameter (a pooling stem has none)."""
    having = {net.parts[name] for name, module in net.net.named_modules() if list(module.parameters(recurse=False))}
    return having.intersection(parts)


def _must_equal(what: str, real: object, declared: object) -> None:
    if real != declared:
        raise RuntimeError(f"{what}: declared {declared}, but {real} is in force")
