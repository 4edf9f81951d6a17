"""Several processes that train one trial together, each with a share of every batch: DistributedDataParallel."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn
from torch.distributed import GradBucket, TCPStore  # type: ignore[attr-defined]  # torch's stubs do not export them
from torch.nn.parallel import DistributedDataParallel

from trainables.inference import Inference
from trainables.models.segmentation_net import SegmentationNet
from trainables.ranks import Ranks

# A collective operation in which a rank waits longer than this for the others has hung: NCCL ends the process, gloo
# raises. Between two epochs a rank waits for whoever steers the trial, however long that takes.
HUNG_AFTER = timedelta(minutes=30)
PATIENCE = timedelta(days=30)


class DistributedRanks(Ranks):
    """This process among those of one trial, over torch's default process group; see `joined`."""

    def __init__(self, sync_batch_norm: bool) -> None:
        self.size = distributed.get_world_size()
        self.rank = distributed.get_rank()
        self.sync_batch_norm = sync_batch_norm
        self._commands: Any = distributed.new_group(backend="gloo", timeout=PATIENCE)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks, detached; the same bits on each."""
        total = tensor.detach().clone()
        distributed.all_reduce(total)
        return total

    def gathered(self, content: Any) -> list[Any]:
        """What each rank gives, in their order; it is pickled and moves among this trial's processes alone."""
        contents: list[Any] = [None] * self.size
        distributed.all_gather_object(contents, content)
        return contents

    def copy_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Overwrite the tensors with those of rank 0."""
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)

    def command(self, *words: Any) -> tuple[Any, ...]:
        """On rank 0 tell the others what comes next; on the others wait for it. Returns the words."""
        content = [words]
        distributed.broadcast_object_list(content, src=0, group=self._commands)
        return tuple(content[0])


def meeting(host: str, port: int | None = None) -> Any:
    """torch's store at which ranks meet: at a port where rank 0 has opened one, or opened here, at its own `port`."""
    return TCPStore(host, port or 0, is_master=port is None, wait_for_workers=False)


@contextmanager
def joined(
    store: Any, rank: int, size: int, device: torch.device, *, sync_batch_norm: bool = False
) -> Iterator[DistributedRanks]:
    """Be rank `rank` of `size` that meet at a store (see `meeting`); waits until all are there."""
    # Tensors on the CPU (counts, commands) always travel over gloo.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=HUNG_AFTER)
    try:
        yield DistributedRanks(sync_batch_norm)
    finally:
        distributed.destroy_process_group()


def over_ranks(inference: Inference, images_BHWC: NDArray[np.uint8], *, auxiliary: bool) -> Inference:
    """The same inference whose `outputs` go through DistributedDataParallel; needs the default process group.

    Gradients are summed over ranks, not averaged as DistributedDataParallel does by itself: each rank's loss is
    divided by the sum of weights of all. Buffers stay each rank's own in training. Some images of the real
    size tell which parameters no output depends on; those of auxiliary outputs are among them unless `auxiliary`. They
    get no gradient, as in one process, and nobody waits for it.
    """
    all_used = _all_used(inference, images_BHWC, auxiliary)
    with warnings.catch_warnings():
        # torch 2.15 has a second name for it, which earlier releases lack.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        parallel = DistributedDataParallel(
            _Outputs(inference.model, auxiliary), broadcast_buffers=False, find_unused_parameters=not all_used
        )
    parallel.register_comm_hook(None, _summed)
    return replace(inference, parallel=parallel)


class _Outputs(nn.Module):
    """The outputs of training as a module's forward pass, which is what DistributedDataParallel wraps."""

    def __init__(self, net: SegmentationNet, auxiliary: bool) -> None:
        super().__init__()
        self.net = net
        self.auxiliary = auxiliary

    def forward(self, images_BCHW: torch.Tensor) -> tuple[torch.Tensor, ...]:
        main, *others = self.net.outputs(images_BCHW)
        # An output that the loss leaves out would be waited for.
        return (main, *(others if self.auxiliary else (other.detach() for other in others)))


def _all_used(inference: Inference, images_BHWC: NDArray[np.uint8], auxiliary: bool) -> bool:
    """Whether every parameter that trains gets a gradient; leaves the model in eval mode."""
    inference.model.eval()
    main, *others = inference.outputs(images_BHWC)
    total = torch.stack([one.float().sum() for one in (main, *(others if auxiliary else ()))]).sum()
    parameters = [parameter for parameter in inference.model.parameters() if parameter.requires_grad]
    return all(one is not None for one in torch.autograd.grad(total, parameters, allow_unused=True))


def _summed(state: None, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    """DistributedDataParallel's hook: the sum of a bucket of gradients over ranks."""
    work = distributed.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda done: done.value()[0])
