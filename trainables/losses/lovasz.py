"""Lovász softmax."""

from collections.abc import Mapping

import torch

from trainables.losses.scores import Scores
from trainables.losses.settings import LovaszSettings
from trainables.losses.terms import ratio


class Lovasz:
    """Lovász extension of 1 - IoU on the softmax's errors, the mean over the classes with a target pixel.

    After Berman et al. (2018), over all valid pixels of a batch together (not image by image): that is nearer to the
    IoU over the whole set, of which mIoU is made. It does not add up over batches, so that the figure of an epoch is
    the mean of its batches weighted by their valid pixels, and depends on how they were cut. Class weights do not
    enter.
    """

    def __init__(self, settings: LovaszSettings, weights_K: torch.Tensor | None) -> None:
        pass

    @property
    def parameters(self) -> Mapping[str, float]:
        """It has none."""
        return {}

    def statistics(self, scores: Scores) -> torch.Tensor:
        """[loss of the batch times valid pixels, valid pixels]."""
        losses = [_of_class(scores, k) for k in scores.target.present]
        # Without a valid pixel these losses are 0, and so is their gradient.
        mean = torch.stack(losses).mean() if losses else scores.loss_BHW.sum()
        pixels = scores.target.pixels_K.sum()
        return torch.stack([mean * pixels, pixels])

    def value(self, statistics: torch.Tensor) -> torch.Tensor:
        """Mean over batches."""
        return ratio(statistics[0], statistics[1])


def _of_class(scores: Scores, k: int) -> torch.Tensor:
    truth_BHW = scores.target.masks_BHW == k
    # An ignored pixel has no error, which comes last and adds nothing.
    errors_BHW = (truth_BHW.float() - scores.chance_BKHW[:, k]).abs() * scores.target.valid_BHW
    errors_P, order_P = errors_BHW.flatten().sort(descending=True, stable=True)
    return torch.dot(errors_P, _slopes(truth_BHW.flatten()[order_P]))


def _slopes(truth_P: torch.Tensor) -> torch.Tensor:
    """What each pixel adds to 1 - IoU when it is wrong like all before it.

    With n pixels of the class, of which c are among the first i, the intersection is n - c and the union n + i - c: a
    pixel of the class adds 1 / union, another intersection / (union (union - 1)). Not as a difference of two IoUs,
    which float32 no longer resolves over millions of pixels.
    """
    hits_P = truth_P.cumsum(0, dtype=torch.int32)
    ranks_P = torch.arange(1, len(truth_P) + 1, dtype=torch.int32, device=truth_P.device)
    left_P, union_P = (hits_P[-1] - hits_P).float(), (hits_P[-1] + ranks_P - hits_P).float()
    return torch.where(truth_P, 1 / union_P, left_P / (union_P * (union_P - 1).clamp_min(1)))
