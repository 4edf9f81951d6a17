"""Proof that what a trial declared is what it does."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from trainables.clip import GradientClip
from trainables.data.augment import serialise
from trainables.ema import AveragedWeights
from trainables.inference import Inference
from trainables.losses.criterion import Criterion
from trainables.losses.settings import LossSettings
from trainables.models.parts import trained_parts
from trainables.models.segmentation_net import SegmentationNet
from trainables.optimizers import part_rates
from trainables.schedules import Schedule
from trainables.settings import TrialSettings

if TYPE_CHECKING:
    from albumentations import Compose


def prove_applied(
    settings: TrialSettings,
    net: SegmentationNet,
    optimizer: Optimizer,
    schedule: Schedule,
    criterion: Criterion,
    pipeline: "Compose",
    inference: Inference,
    *,
    class_names: tuple[str, ...],
    clip: GradientClip | None = None,
    ema: AveragedWeights | None = None,
) -> dict[str, Any]:
    """What is really in force, read from the objects that train; raises RuntimeError if the settings say otherwise."""
    unfrozen = _unfrozen_parts(net)
    _must_equal(
        "model.unfreeze", set(unfrozen), _with_parameters(net, trained_parts(net.parts, settings.model.unfreeze))
    )
    rates = _prove_optimizer(settings, net, optimizer, schedule)
    _must_equal("optimizer.clip_norm", None if clip is None else clip.max_norm, settings.optimizer.clip_norm)
    _must_equal("optimizer.ema", None if ema is None else ema.decay, settings.optimizer.ema)
    _prove_loss(settings.loss, criterion, class_names)
    return {
        "trainable_parameters": sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad),
        "total_parameters": sum(parameter.numel() for parameter in net.parameters()),
        "optimizer": type(optimizer).__name__,
        "lr_peak": max(schedule.peaks),
        "lr_peaks": rates,
        "clip_norm": None if clip is None else clip.max_norm,
        "ema": None if ema is None else ema.decay,
        "class_weights": None if criterion.weights_K is None else criterion.weights_K.tolist(),
        "loss_terms": dict(criterion.factors),
        "loss_parameters": criterion.parameters,
        "loss_ignore_target": [class_names[label] for label in criterion.ignore_target],
        "loss_auxiliary": criterion.auxiliary,
        "augmentations": serialise(pipeline),
        "unfrozen": list(unfrozen),
        "precision": inference.precision,
        "device": inference.device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _prove_optimizer(
    settings: TrialSettings, net: SegmentationNet, optimizer: Optimizer, schedule: Schedule
) -> dict[str, float]:
    """Peak rate in force of each part that trains."""
    _must_equal("optimizer.name", type(optimizer).__name__.lower(), settings.optimizer.name)
    peaks: dict[int, float] = {}
    for group, peak in zip(optimizer.param_groups, schedule.peaks, strict=True):
        _must_equal("optimizer.weight_decay", group["weight_decay"], settings.optimizer.weight_decay)
        peaks |= {id(parameter): peak for parameter in group["params"]}
    training = {id(parameter) for parameter in net.parameters() if parameter.requires_grad}
    _must_equal("parameters of the optimizer", set(peaks), training)
    declared, found = part_rates(net, settings.optimizer), {}
    for name, module in net.net.named_modules():
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad:
                part = net.parts[name]
                found[part] = peaks[id(parameter)]
                _must_equal(f"optimizer.lr of {part}", found[part], declared[part])
    return found


def _prove_loss(settings: LossSettings, criterion: Criterion, class_names: tuple[str, ...]) -> None:
    """Terms with their weights and parameters, weights of classes, ignored classes."""
    terms = {name: term for name, term in settings.terms.model_dump().items() if term["weight"] > 0}
    _must_equal("loss.terms", criterion.factors, {name: term["weight"] for name, term in terms.items()})
    for name, term in terms.items():
        if name == "custom":
            # What a user's own term takes from its settings is its own affair.
            continue
        parameters = {key: value for key, value in term.items() if key != "weight"}
        _must_equal(f"loss.terms.{name}", criterion.parameters[name], parameters)
    _must_equal("loss.auxiliary", criterion.auxiliary, settings.auxiliary)
    ignored = tuple(class_names[label] for label in criterion.ignore_target)
    _must_equal("loss.ignore_target", ignored, settings.ignore_target)
    _must_equal("loss.class_weights", criterion.weights_K is not None, settings.class_weights != "none")
    if criterion.weights_K is not None and settings.class_weights == "by_hand":
        declared_K = [settings.weights_by_hand.get(name, 1.0) for name in class_names]
        # A class without training pixels has 0; the others have one factor in common.
        pairs = [pair for pair in zip(criterion.weights_K.tolist(), declared_K, strict=True) if pair[0] > 0]
        factor = sum(real for real, _ in pairs) / sum(declared for _, declared in pairs)
        for real, declared in pairs:
            if not math.isclose(real, factor * declared, rel_tol=1e-5):
                raise RuntimeError(
                    f"loss.weights_by_hand: declared {declared_K}, but {criterion.weights_K} are in force"
                )


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
