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
from trainables.train_pass import train_epoch

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
