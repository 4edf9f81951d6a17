"""Optimizers by name."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from trainables.optimizer_settings import OptimizerSettings

Parameters = Sequence[nn.Parameter]

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


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The optimizer over the parameters of the model that train; raises ValueError if none does."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("model.unfreeze leaves no parameter that trains; choose a deeper one")
    return OPTIMIZERS[settings.name](parameters, settings)
