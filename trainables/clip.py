"""Clipping of gradients."""

from torch import nn
from torch.optim import Optimizer


class GradientClip:
    """Scales the gradient of all parameters of an optimizer together down to a norm (Pascanu et al. 2013).

    A gradient that is not finite stays so: the loss then tells. Nothing waits for the device.
    """

    def __init__(self, optimizer: Optimizer, max_norm: float) -> None:
        self.max_norm = max_norm
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def __call__(self) -> None:
        """Clip what the last backward pass left."""
        nn.utils.clip_grad_norm_(self._parameters, self.max_norm)
