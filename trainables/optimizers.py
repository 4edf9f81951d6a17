"""Optimizers by name."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from trainables.models.parts import trained_parts
from trainables.models.segmentation_net import SegmentationNet
from trainables.optimizer_settings import OptimizerSettings

Parameters = Sequence[nn.Parameter] | Sequence[dict[str, Any]]

# The fused kernels do one pass over all parameters; a U-Net's update is then memory-bound instead of call-bound.


def _adam(parameters: Parameters, settings: OptimizerSettings) -> Optimizer:
    return Adam(parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)


def _adamw(parameters: Parameters, settings: OptimizerSettings) -> Optimizer:
    return AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)


def _sgd(parameters: Parameters, settings: OptimizerSettings) -> Optimizer:
    return SGD(
        parameters,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
        fused=True,
    )


OPTIMIZERS: dict[str, Callable[[Parameters, OptimizerSettings], Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
}


def build_optimizer(net: SegmentationNet, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The optimizer over the parameters of the net that train; raises ValueError if none does.

    One group, or with `layer_decay` below 1 one for each part that trains, as `part_rates` gives its peak rate.
    """
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("model.unfreeze leaves no parameter that trains; choose a deeper one")
    if settings.layer_decay == 1:
        return OPTIMIZERS[settings.name](parameters, settings)
    trained = _trained(net)
    groups = [
        {"params": trained[part], "lr": rate, "part": part}
        for part, rate in part_rates(net, settings).items()
        if part in trained
    ]
    return OPTIMIZERS[settings.name](groups, settings)


def part_rates(net: SegmentationNet, settings: OptimizerSettings) -> dict[str, float]:
    """Peak rate of each part of the net, trained or not: lr times layer_decay^k for the k-th part below the head.

    Parts as the model has them: head, decoder, stage4 … stage1, rest. Fine-tuning is kinder to layers nearer to the
    image (Howard and Ruder 2018).
    """
    order = trained_parts(net.parts, "all")
    return {part: settings.lr * settings.layer_decay**k for k, part in enumerate(order)}


def _trained(net: SegmentationNet) -> dict[str, list[nn.Parameter]]:
    """Parameters that train by part; one that modules share belongs to the first of them."""
    found: dict[str, list[nn.Parameter]] = {}
    seen: set[int] = set()
    for name, module in net.net.named_modules():
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                found.setdefault(net.parts[name], []).append(parameter)
    return found
