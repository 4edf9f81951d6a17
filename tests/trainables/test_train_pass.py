"""The loss of auxiliary outputs in a training step."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from trainables.data.batches import to_tensor
from trainables.inference import Inference
from trainables.losses.criterion import Criterion
from trainables.losses.settings import LossSettings
from trainables.models.segmentation_net import SegmentationNet
from trainables.schedule_settings import ScheduleSettings
from trainables.schedules import Schedule
from trainables.train_pass import pieces, train_epoch

LR = 0.5


class ThreeHeads(SegmentationNet):
    """A pixel-wise net with two auxiliary heads."""

    def outputs(self, images_BCHW):
        features = self.net.encoder(images_BCHW)
        heads = (self.net.segmentation_head, self.net.first, self.net.second)
        return tuple(head(features) for head in heads)


def three_heads():
    torch.manual_seed(0)
    net = nn.Module()
    net.encoder = nn.Conv2d(3, 4, 1)
    net.segmentation_head, net.first, net.second = (nn.Conv2d(4, 2, 1) for _ in range(3))
    return ThreeHeads(net, ["encoder"], stride=1)


def a_batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    masks = rng.integers(0, 2, (2, 4, 5), dtype=np.uint8)
    masks[:, 0] = 255
    return images, masks


@pytest.mark.parametrize("auxiliary", [0.0, 0.4])
def test_a_step_equals_plain_torch(auxiliary):
    images, masks = a_batch()
    net, peer = three_heads(), three_heads()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    schedule = Schedule(optimizer, ScheduleSettings(), 1, 1)
    inference = Inference(net, torch.device("cpu"), "fp32", "none")
    criterion = Criterion(LossSettings(auxiliary=auxiliary), None)
    loss = train_epoch(inference, criterion, optimizer, schedule, [(images, masks)], 0)

    main, first, second = (
        functional.cross_entropy(logits, torch.from_numpy(masks).long(), ignore_index=255)
        for logits in peer.outputs(to_tensor(images, "cpu", "none"))
    )
    (main + auxiliary * (first + second) / 2).backward()
    assert loss == pytest.approx(float(main.detach()), rel=1e-6)
    for ours, theirs in zip(net.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs - LR * theirs.grad)
    if auxiliary == 0:
        assert net.net.first.weight.grad is None


class InDouble(ThreeHeads):
    """The same net in float64, so that only the arithmetic's order is left to differ."""

    def outputs(self, images_BCHW):
        return super().outputs(images_BCHW.double())


def uneven_batch(empty):
    """Four images of which one has few valid pixels and, if `empty`, one has none."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    masks = rng.integers(0, 3, (4, 6, 5), dtype=np.uint8)
    masks[1, 1:] = 255
    if empty:
        masks[0] = 255
    return images, masks


def gradients(terms, batch, micro_batch, *, weights=(0.2, 0.5, 2.3), ignore_target=(), auxiliary=0.4):
    torch.manual_seed(0)
    net = nn.Module()
    net.encoder = nn.Conv2d(3, 4, 3, padding=1)
    net.segmentation_head, net.first, net.second = (nn.Conv2d(4, 3, 1) for _ in range(3))
    net = InDouble(net.double(), ["encoder"], stride=1)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    criterion = Criterion(
        LossSettings.model_validate({"terms": terms, "auxiliary": auxiliary}),
        None if weights is None else torch.tensor(weights, dtype=torch.float64),
        ignore_target,
    )
    loss = train_epoch(
        Inference(net, torch.device("cpu"), "fp32", "none"),
        criterion,
        optimizer,
        Schedule(optimizer, ScheduleSettings(), 1, 1),
        [batch],
        0,
        micro_batch=micro_batch,
    )
    return loss, [parameter.grad for parameter in net.parameters()]


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 4])
@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("weights", [None, (0.2, 0.5, 2.3)])
@pytest.mark.parametrize(
    ("terms", "ignore_target"),
    [
        ({}, ()),
        ({"cross_entropy": {"weight": 1, "label_smoothing": 0.1}}, (1,)),
        ({"cross_entropy": {"weight": 0.5}, "focal": {"weight": 1, "gamma": 1.5}, "boundary": {"weight": 0.3}}, (2,)),
    ],
)
def test_gradients_of_terms_that_add_up_are_those_of_the_whole_batch(terms, ignore_target, weights, empty, micro_batch):
    batch = uneven_batch(empty)
    whole = gradients(terms, batch, None, weights=weights, ignore_target=ignore_target)
    pieces_ = gradients(terms, batch, micro_batch, weights=weights, ignore_target=ignore_target)
    assert pieces_[0] == pytest.approx(whole[0], rel=1e-9)
    for ours, theirs in zip(pieces_[1], whole[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-12)


def test_the_naive_mean_over_pieces_would_differ():
    """Else the test above would prove nothing."""
    images, masks = uneven_batch(False)
    whole = gradients({}, (images, masks), None)[1]
    naive = [gradients({}, (images[i : i + 1], masks[i : i + 1]), None)[1] for i in range(4)]
    means = [torch.stack(each).mean(0) for each in zip(*naive, strict=True)]
    assert not torch.allclose(means[0], whole[0], rtol=1e-2)


def test_a_batch_without_a_valid_pixel_gives_no_gradient():
    images, masks = uneven_batch(False)
    loss, found = gradients({}, (images, np.full_like(masks, 255)), 1)
    assert loss == 0
    assert all(not gradient.any() for gradient in found)


def test_terms_that_do_not_add_up_count_by_their_images():
    batch = uneven_batch(False)
    terms = {"cross_entropy": {"weight": 0}, "dice": {"weight": 1}}
    found = gradients(terms, batch, 3)[1]
    parts = [gradients(terms, (batch[0][part], batch[1][part]), None)[1] for part in pieces(4, 3)]
    assert pieces(4, 3) == [slice(0, 2), slice(2, 4)]
    for one, first, second in zip(found, *parts, strict=True):
        torch.testing.assert_close(one, first / 2 + second / 2)


@pytest.mark.parametrize(
    ("count", "size", "smallest", "lengths"),
    [(8, 4, 1, [4, 4]), (8, None, 1, [8]), (5, 2, 1, [1, 2, 2]), (5, 2, 2, [2, 3]), (1, 4, 2, [1]), (7, 1, 1, [1] * 7)],
)
def test_pieces_are_even_and_cover_the_batch(count, size, smallest, lengths):
    found = pieces(count, size, smallest)
    assert [part.stop - part.start for part in found] == lengths
    assert [index for part in found for index in range(count)[part]] == list(range(count))
