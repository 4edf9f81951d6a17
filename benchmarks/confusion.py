"""The confusion matrix against torchmetrics' at 37 classes, with ignored pixels."""

import statistics
import time
from collections.abc import Callable

import torch
from torchmetrics.classification import MulticlassConfusionMatrix

from benchmarks.measure import Comparison, measure_pairs, ratios
from trainables.data.splits import IGNORE
from trainables.device import choose_device
from trainables.metrics import ConfusionMatrix

CLASSES, BATCH, SIZE = 37, 8, (480, 360)
IGNORED_SHARE, UPDATES, REPEATS, LEAST = 0.1, 5, 7, 5.0


def compare(updates: int = UPDATES, repeats: int = REPEATS, size: tuple[int, int] = SIZE) -> Comparison:
    """Time the updates of both with the same batch; their counts must be equal."""
    device = choose_device()
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH, *size)
    prediction = torch.randint(CLASSES, shape, generator=generator).to(device)
    target = torch.randint(CLASSES, shape, generator=generator, dtype=torch.uint8)
    target[torch.rand(shape, generator=generator) < IGNORED_SHARE] = IGNORE
    # Each gets the type it wants before the clock starts: ours the mask as it is stored, torchmetrics int64.
    target_uint8, target_int64 = target.to(device), target.long().to(device)
    ours = ConfusionMatrix(CLASSES, device)
    peer = MulticlassConfusionMatrix(CLASSES, ignore_index=IGNORE, validate_args=False).to(device)

    def time_ours() -> float:
        return _per_update(lambda: ours.update(prediction, target_uint8), updates, device)

    def time_peer() -> float:
        return _per_update(lambda: peer.update(prediction, target_int64), updates, device)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    measure_pairs(time_ours, time_peer, 1)
    ours_s, peer_s = measure_pairs(time_ours, time_peer, repeats)
    torch.set_num_threads(threads)
    if not torch.equal(ours.counts_KK.cpu(), peer.compute().cpu()):
        raise RuntimeError("expected the same counts as torchmetrics, got others")
    return Comparison(
        theme="confusion",
        what=f"Confusion matrix: seconds per update, {CLASSES} classes, batch {BATCH} at {size[0]}x{size[1]}",
        unit="s",
        ours=ours_s,
        peer=peer_s,
        claim=f"at least {LEAST:g} x as fast, a ratio of at most {1 / LEAST:g}",
        holds=statistics.median(ratios(ours_s, peer_s)) <= 1 / LEAST,
        packages=("torch", "torchmetrics"),
        notes=(
            "Peer: torchmetrics' MulticlassConfusionMatrix with ignore_index and validate_args=False, its faster way;",
            "its JaccardIndex is the same update with a division after it, and its MeanIoU averages over images and",
            f"cannot ignore pixels. {IGNORED_SHARE:.0%} of the pixels are ignored; labels are uniform, so that every",
            "count is used; the counts of both are checked to be equal. One thread, on "
            f"{'CUDA' if device.type == 'cuda' else 'the CPU'}.",
        ),
    )


def _per_update(update: Callable[[], None], updates: int, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(updates):
        update()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / updates
