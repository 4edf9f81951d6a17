"""Batches of images and masks: augmented and shuffled for training, in order for evaluation."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from trainables.data.augment import augment
from trainables.data.errors import DataError
from trainables.data.split_data import SplitData
from trainables.data.splits import IGNORE
from trainables.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from albumentations import Compose

Pair = tuple[np.ndarray, np.ndarray]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class TrainBatches:
    """Shuffled, augmented batches; order and augmentation are functions of (seed, epoch, index, repeat) alone.

    `shown_N` (int64 [N]) says how often an epoch shows each image, each time augmented anew; once without it.

    An epoch replayed after a crash is the same, whatever the number of threads. A last batch of one image is left
    out, unless it is the only one: BatchNorm has no variance over a single value.

    Of several ranks each takes its own block of the batch that one process would take, the first ranks one image more
    where it does not divide. A rank for which a small last batch leaves fewer than two images (or none, at one image a
    rank or where BatchNorm is synchronised) fills up with copies whose pixels are all ignored: they weigh nothing in
    the loss.
    """

    def __init__(
        self,
        data: SplitData,
        batch_size: int,
        pipeline: Compose,
        seed: int,
        threads: int = 1,
        shown_N: np.ndarray | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        check_share(batch_size, ranks.size)
        self.data = data
        self.batch_size = batch_size
        self.pipeline = pipeline
        self.seed = seed
        self.threads = threads
        shown_N = np.ones(len(data.names), dtype=np.int64) if shown_N is None else shown_N
        self._images = np.repeat(np.arange(len(shown_N)), shown_N)
        self._repeats = np.arange(len(self._images)) - np.repeat(np.cumsum(shown_N) - shown_N, shown_N)
        self._local = threading.local()
        self._ranks = ranks
        self._least = 1 if ranks.size == 1 or ranks.sync_batch_norm else min(2, batch_size // ranks.size)

    def __len__(self) -> int:
        """Batches per epoch."""
        return batch_count(len(self._images), self.batch_size)

    def epoch(self, epoch: int) -> Iterator[Pair]:
        """This rank's images uint8 [B, H, W, C] and masks uint8 [B, H, W] of one epoch."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self._images))
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        batches = batches[: len(self)]
        if self.threads == 1:
            for batch in batches:
                yield stacked([self._drawn(epoch, draw) for draw in self._share(batch)])
            return
        with ThreadPoolExecutor(self.threads) as pool:
            # One batch is prepared ahead, while the caller works on the one before it.
            ahead: list[Future[Pair]] | None = None
            for batch in batches:
                coming = [pool.submit(self._drawn, epoch, draw) for draw in self._share(batch)]
                if ahead is not None:
                    yield stacked([future.result() for future in ahead])
                ahead = coming
            if ahead is not None:
                yield stacked([future.result() for future in ahead])

    def _share(self, batch: np.ndarray) -> list[tuple[int, bool]]:
        """This rank's positions of a batch, each with whether it counts."""
        own = np.array_split(batch, self._ranks.size)[self._ranks.rank].tolist()
        copies = [*own, int(batch[0])][:1] * (self._least - len(own))
        return [(position, True) for position in own] + [(position, False) for position in copies]

    def _drawn(self, epoch: int, draw: tuple[int, bool]) -> Pair:
        position, counts = draw
        image, mask = self.sample(epoch, position)
        return image, mask if counts else np.full_like(mask, IGNORE)

    def sample(self, epoch: int, position: int) -> Pair:
        """One augmented pair, by its position among all that an epoch shows."""
        index, repeat = int(self._images[position]), int(self._repeats[position])
        image, mask = self.data.images_NHWC[index], self.data.masks_NHW[index]
        if not len(self.pipeline):
            return image, mask
        if not hasattr(self._local, "pipeline"):
            # The pipeline holds its random state, so that each thread needs its own.
            self._local.pipeline = copy.deepcopy(self.pipeline)
        seed = (self.seed, epoch, index, repeat) if repeat else (self.seed, epoch, index)
        return augment(self._local.pipeline, np.array(image), np.array(mask), seed)


def batch_count(shown: int, batch_size: int) -> int:
    """Batches of an epoch that shows so many images; a last one of a single image is left out."""
    whole, rest = divmod(shown, batch_size)
    return whole + (rest > 1 or (rest == 1 and whole == 0))


def check_share(batch_size: int, ranks: int) -> None:
    """Raise DataError where a batch does not reach all processes that share it."""
    if batch_size < ranks:
        raise DataError(
            f"batch_size: {batch_size} images are too few for the {ranks} processes that share every batch; raise "
            "batch_size, or lower resources.gpus_per_trial"
        )


def stacked(pairs: list[Pair]) -> Pair:
    """Pairs as one batch."""
    images, masks = zip(*pairs, strict=True)
    return np.stack(images), np.stack(masks)


def eval_batches(
    data: SplitData, batch_size: int, ranks: Ranks = ALONE
) -> Iterator[tuple[slice, np.ndarray, list[np.ndarray]]]:
    """The images in order: which ones, images uint8 [B, H, W, C], and each one's mask at its own size.

    Of several ranks each takes whole batches in turn: an image's logits depend, in their last bits, on the batch that
    it is computed in.
    """
    count = len(data.names)
    for start in range(0, count, batch_size)[ranks.rank :: ranks.size]:
        indices = slice(start, min(start + batch_size, count))
        masks = [data.own_mask(index) for index in range(indices.start, indices.stop)]
        yield indices, np.array(data.images_NHWC[indices]), masks


def to_tensor(
    images_BHWC: np.ndarray, device: torch.device | str, normalize: Literal["none", "imagenet"]
) -> torch.Tensor:
    """float32 images_BCHW in channels_last layout, moved as bytes and normalised on the device.

    `none` gives pixels in 0 to 1; `imagenet` subtracts ImageNet's mean and divides by its standard deviation, for grey
    images by the means of the three.
    """
    return normalized(torch.from_numpy(images_BHWC).to(device), normalize)


def normalized(images_BHWC: torch.Tensor, normalize: Literal["none", "imagenet"]) -> torch.Tensor:
    """The same of bytes that are a tensor on their device."""
    images_BCHW = images_BHWC.permute(0, 3, 1, 2).float().div_(255)
    if normalize == "none":
        return images_BCHW
    mean = torch.tensor(IMAGENET_MEAN, device=images_BHWC.device)
    std = torch.tensor(IMAGENET_STD, device=images_BHWC.device)
    if images_BCHW.shape[1] == 1:
        mean, std = mean.mean().view(1), std.mean().view(1)
    return images_BCHW.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))
