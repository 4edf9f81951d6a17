"""BatchNorm over the whole batch of several ranks, on any device."""

from typing import Any

import torch
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import distributed, nn

from trainables.models.segmentation_net import SegmentationNet


def synchronise_batch_norm(net: SegmentationNet, device: torch.device) -> None:
    """Let every BatchNorm of a net that trains take mean and variance over the batches of all ranks.

    Names, parameters and statistics stay. Needs torch's default process group at every training step; what is frozen
    uses its statistics as before.
    """
    if device.type == "cuda":
        net.net = convert_sync_batchnorm(net.net)
    else:
        # torch's own has kernels for accelerators alone.
        for module in net.net.modules():
            if type(module) in _SYNCHRONISED:
                module.__class__ = _SYNCHRONISED[type(module)]
    net.train(net.training)


class _SyncedBatchNorm(nn.BatchNorm2d):
    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return _normalised(self, images_BCHW) if self.training else super().forward(images_BCHW)


class _SyncedBatchNormAct(BatchNormAct2d):  # type: ignore[misc]  # timm is untyped
    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        if not self.training:
            unsynced_BCHW: torch.Tensor = super().forward(images_BCHW)
            return unsynced_BCHW
        activated_BCHW: torch.Tensor = self.act(self.drop(_normalised(self, images_BCHW)))
        return activated_BCHW


_SYNCHRONISED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: _SyncedBatchNorm,
    BatchNormAct2d: _SyncedBatchNormAct,
}


def _normalised(norm: nn.BatchNorm2d, images_BCHW: torch.Tensor) -> torch.Tensor:
    """The input normalised by the mean and variance of all ranks' pixels (Ioffe and Szegedy 2015), which are kept."""
    images = images_BCHW.float()
    pixels = torch.tensor(float(images.numel() // images.shape[1]))
    distributed.all_reduce(pixels)
    mean_C = _summed(images.sum((0, 2, 3))) / pixels
    # About the mean, not as a difference of large sums.
    centred = images - mean_C[:, None, None]
    variance_C = _summed(centred.square().sum((0, 2, 3))) / pixels
    if norm.track_running_stats:
        _keep(norm, mean_C.detach(), variance_C.detach() * (pixels / (pixels - 1)))
    normalised = centred * torch.rsqrt(variance_C + norm.eps)[:, None, None]
    if norm.affine:
        normalised = normalised * norm.weight[:, None, None] + norm.bias[:, None, None]
    return normalised.to(images_BCHW.dtype).contiguous(memory_format=torch.channels_last)


class _Sum(torch.autograd.Function):
    """The sum over ranks; what each rank's loss owes to it comes back to every rank."""

    @staticmethod
    def forward(context: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def _summed(tensor: torch.Tensor) -> torch.Tensor:
    total: torch.Tensor = _Sum.apply(tensor)
    return total


@torch.no_grad()
def _keep(norm: nn.BatchNorm2d, mean_C: torch.Tensor, variance_C: torch.Tensor) -> None:
    assert norm.running_mean is not None  # it tracks
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    # Without a momentum torch keeps the plain average of all batches.
    momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean_C, momentum)
    norm.running_var.lerp_(variance_C, momentum)
