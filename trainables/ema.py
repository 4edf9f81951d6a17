"""Exponential moving average of a model's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from trainables.models.segmentation_net import SegmentationNet


class AveragedWeights:
    """The average of the parts of a net that train, taken after every optimizer step.

    average <- d average + (1 - d) weights with d = min(decay, (1 + t) / (10 + t)) after step t = 0, 1, …: the ramp of
    TensorFlow's ExponentialMovingAverage, without which random first weights would rule a short trial. Statistics of
    BatchNorm are averaged like weights, counters copied. Frozen parts have no average: they do not move.
    """

    def __init__(self, net: SegmentationNet, decay: float) -> None:
        self.decay = decay
        entries = net.net.state_dict(keep_vars=True)
        moving = {
            name: tensor.detach()
            for name, tensor in entries.items()
            if net.parts[name.rpartition(".")[0]] in net.unfrozen
        }
        self._weights = {name: tensor for name, tensor in moving.items() if tensor.is_floating_point()}
        self._counters = {name: tensor for name, tensor in moving.items() if name not in self._weights}
        self._averages = {name: tensor.clone() for name, tensor in moving.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step 0, 1, … of the trial."""
        decay = min(self.decay, (1 + step) / (10 + step))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # untyped in torch
        average([self._averages[name] for name in self._weights], list(self._weights.values()), step)
        for name, counter in self._counters.items():
            self._averages[name].copy_(counter)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The net with the averages instead of its weights, which come back at the end, bit by bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The averages by the names of the plain network's state."""
        return dict(self._averages)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        for name, average in self._averages.items():
            average.copy_(state[name])

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, tensor in (self._weights | self._counters).items():
            kept = tensor.clone()
            tensor.copy_(self._averages[name])
            self._averages[name].copy_(kept)
