"""Initial weights of convolutions, for models or parts that no file gives."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

SCHEMES: Mapping[str, Callable[[torch.Tensor], object]] = {
    "xavier": nn.init.xavier_uniform_,
    "kaiming": lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu"),
}


def initialize(net: nn.Module, scheme: str) -> None:
    """Draw the weights of all (transposed) convolutions anew, biases 0: `xavier` (Glorot and Bengio 2010, uniform),
    `kaiming` (He et al. 2015, normal, fan out). `default` leaves what the layers drew.
    """
    if scheme == "default":
        return
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            SCHEMES[scheme](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
