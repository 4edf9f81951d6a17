"""Two real processes train together what one trains alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from tests.trainables.two_ranks import on_two_ranks
from trainables.data.augment import build_pipeline
from trainables.data.augment_settings import AugmentSettings
from trainables.data.batches import TrainBatches
from trainables.data.errors import DataError
from trainables.data.split_data import SplitData
from trainables.distributed import over_ranks
from trainables.inference import Inference
from trainables.losses.criterion import Criterion
from trainables.losses.settings import LossSettings
from trainables.models.segmentation_net import SegmentationNet
from trainables.protocol import Context
from trainables.ranks import ALONE, Ranks
from trainables.schedule_settings import ScheduleSettings
from trainables.schedules import Schedule
from trainables.segmentation import SegmentationTrainable
from trainables.settings import TrialSettings
from trainables.sync_batch_norm import synchronise_batch_norm
from trainables.train_pass import train_epoch
from trainables.validation import validate

pytestmark = pytest.mark.slow

LR = 0.5
CPU = torch.device("cpu")
WEIGHTS_K = (0.1, 30.0)


class TwoHeads(SegmentationNet):
    """A net without BatchNorm, with an auxiliary head and a layer that nothing uses."""

    def outputs(self, images_BCHW):
        features = torch.relu(self.net.encoder(images_BCHW))
        return self.net.segmentation_head(features), self.net.auxiliary(features)


def two_heads(frozen=False):
    torch.manual_seed(0)
    net = nn.Module()
    net.encoder = nn.Conv2d(3, 4, 3, padding=1)
    net.segmentation_head, net.auxiliary, net.unused = (nn.Conv2d(4, 2, 1) for _ in range(3))
    wrapped = TwoHeads(net, ["encoder"], stride=1)
    if frozen:
        net.encoder.requires_grad_(False)
    return wrapped


def a_batch():
    """Five images, whose first three (rank 0's) are nearly all ignored and whose last two hold the rare class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    masks = np.zeros((5, 6, 7), dtype=np.uint8)
    masks[:3, 1:] = 255
    masks[3:] = rng.integers(0, 2, (2, 6, 7))
    return images, masks


def one_step(ranks, batch, auxiliary, frozen, micro_batch):
    """Parameters, gradients and loss after a step on a batch, this rank's part of it being given."""
    net = two_heads(frozen)
    inference = Inference(net, CPU, "fp32", "none")
    if ranks.size > 1:
        inference = over_ranks(inference, batch[0][:1], auxiliary=auxiliary > 0)
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=LR, weight_decay=0.1)
    schedule = Schedule(optimizer, ScheduleSettings(), 1, 1)
    criterion = Criterion(LossSettings(auxiliary=auxiliary), torch.tensor(WEIGHTS_K))
    loss = train_epoch(inference, criterion, optimizer, schedule, [batch], 0, micro_batch=micro_batch, ranks=ranks)
    unused = net.net.unused.weight.grad is None
    return [parameter.detach().numpy() for parameter in net.parameters()], loss, unused


CASES = [(0.0, False, None), (0.4, False, None), (0.4, True, None), (0.4, False, 2)]


def steps(ranks):
    images, masks = a_batch()
    own = slice(0, 3) if ranks.rank == 0 else slice(3, 5)
    return [one_step(ranks, (images[own], masks[own]), *case) for case in CASES]


def test_a_step_over_two_ranks_is_that_of_one_process(found):
    for case, *both in zip(CASES, *found["steps"], strict=True):
        parameters, loss, unused = one_step(ALONE, a_batch(), *case[:2], None)
        assert unused
        for theirs, their_loss, their_unused in both:
            assert their_unused
            assert their_loss == pytest.approx(loss, rel=1e-6)
            for mine, other in zip(parameters, theirs, strict=True):
                np.testing.assert_allclose(other, mine, atol=1e-5, rtol=0)
        # Otherwise nothing is proved.
        assert not np.allclose(parameters[-1], two_heads().net.unused.bias.detach().numpy() + 1)


def noise(images):
    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.normal(3.0, 2.0, (images, 4, 5, 6)).astype(np.float32))


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.BatchNorm2d(4)
        self.decoder = BatchNormAct2d(4, momentum=0.3)
        self.segmentation_head = nn.Conv2d(4, 2, 1)

    def forward(self, images):
        return self.segmentation_head(self.decoder(self.encoder(images) * 2))


def a_normed_step(ranks, images):
    torch.manual_seed(0)
    net = SegmentationNet(Normed(), ["encoder"], stride=1)
    if ranks.sync_batch_norm:
        synchronise_batch_norm(net, CPU)
    net.train()
    outputs = net(images)
    (outputs**2).sum().backward()
    gradients = [ranks.sum(parameter.grad).numpy() for parameter in net.parameters()]
    net.eval()
    return outputs.detach().numpy(), gradients, {k: v.numpy() for k, v in net.net.state_dict().items()}


def a_share_of_a_normed_step(ranks):
    return a_normed_step(ranks, noise(7)[:5] if ranks.rank == 0 else noise(7)[5:])


def test_synchronised_batch_norm_is_that_of_the_whole_batch(found):
    shares = found["normed"]
    outputs, gradients, state = a_normed_step(ALONE, noise(7))
    np.testing.assert_allclose(np.concatenate([share[0] for share in shares]), outputs, atol=1e-5)
    for _, their_gradients, their_state in shares:
        for mine, theirs in zip(gradients, their_gradients, strict=True):
            np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-3)
        assert their_state.keys() == state.keys()
        for name, mine in state.items():
            np.testing.assert_allclose(their_state[name], mine, rtol=1e-5, atol=1e-6)


def a_split(images):
    """As the fixture `make_split`, which does not reach another process."""
    rng = np.random.default_rng(7)
    images_NHWC = rng.integers(0, 256, (images, 16, 24, 3), dtype=np.uint8)
    masks_NHW = (images_NHWC.mean(-1) > 127).astype(np.uint8)
    masks_NHW[:, 0] = 255
    return SplitData(
        names=tuple(f"image{i}" for i in range(images)),
        groups=tuple(f"group{i}" for i in range(images)),
        class_names=("dark", "bright"),
        fingerprint="in memory",
        images_NHWC=images_NHWC,
        masks_NHW=masks_NHW,
        pixels_NK=np.stack([np.bincount(mask[mask != 255], minlength=2) for mask in masks_NHW]),
        own_shapes_N2=np.array([(16, 24)] * images),
        own_pixels=None,
    )


def settings_of(epochs, **sections):
    tiny = {"epochs": epochs, "batch_size": 4, "precision": "fp32", "model": {"width": 4, "depth": 2}}
    return TrialSettings.model_validate({**tiny, **sections})


def built(ranks, settings, images=7):
    trainable = SegmentationTrainable()
    context = Context(folder=Path(), cache=Path(), device=CPU, threads=1, ranks=ranks)
    trainable.build(settings, context, a_split(images), a_split(images))
    return trainable


def trained(ranks, settings):
    """An epoch's result and the state after it."""
    trainable = built(ranks, settings)
    result = trainable.run_epoch(2)
    return result, trainable.state(), dict(trainable.applied), dict(trainable.model_state())


def evaluated(ranks):
    """Seven images in batches of two: four batches, the last of one image. Then a single batch for two ranks."""
    trainable = built(ranks, settings_of(3))
    generator = torch.Generator().manual_seed(2)
    for parameter in trainable._net.parameters():
        parameter.data.normal_(generator=generator)
    found = validate(
        trainable._inference, trainable._criterion, trainable._validation_data, 2, pictures=[0, 6], ranks=ranks
    )
    few = validate(trainable._inference, trainable._criterion, a_split(3), 3, ranks=ranks)
    return found, few


def test_evaluation_over_two_ranks_gives_the_counts_of_one_process(found):
    one, one_few = evaluated(ALONE)
    assert len(np.unique(np.nonzero(one.counts_KK)[1])) == 2, "nothing is proved where one class alone is predicted"
    for two, two_few in found["evaluated"]:
        for mine, theirs in ((one, two), (one_few, two_few)):
            np.testing.assert_array_equal(theirs.counts_KK, mine.counts_KK)
            assert theirs.counts_KK.dtype == np.int64
            assert theirs.loss == pytest.approx(mine.loss, rel=1e-12)
            assert theirs.ce == pytest.approx(mine.ce, rel=1e-12)
        assert sorted(two.predictions) == [0, 6]
        for index, prediction in one.predictions.items():
            np.testing.assert_array_equal(two.predictions[index], prediction)
        assert one.counts_KK.sum() == a_split(7).pixels_K.sum()


AVERAGED = settings_of(3, optimizer={"ema": 0.9, "clip_norm": 0.1, "lr": 1e-2})
SYNCED = settings_of(3, optimizer={"name": "sgd", "lr": 1e-2, "clip_norm": 0.5})


def everything(ranks):
    results = {"steps": steps(ranks), "evaluated": evaluated(ranks), "trained": trained(ranks, AVERAGED)}
    ranks.sync_batch_norm = True
    return {**results, "normed": a_share_of_a_normed_step(ranks), "synced": trained(ranks, SYNCED)}


@pytest.fixture(scope="module")
def found():
    """What rank 0 and rank 1 made of each scenario, all in one pair of processes."""
    first, second = on_two_ranks(everything)
    return {name: (first[name], second[name]) for name in first}


def test_ranks_end_an_epoch_with_the_same_weights_and_figures(found):
    (first, state, applied, weights), (second, *_, their_weights) = found["trained"]
    assert applied["ranks"] == 2
    assert applied["sync_batch_norm"] is False
    assert first.metrics == second.metrics
    np.testing.assert_array_equal(first.confusion_KK, second.confusion_KK)
    # Averages of BatchNorm's statistics too: they are rank 0's on all.
    for name, tensor in weights.items():
        torch.testing.assert_close(their_weights[name], tensor, rtol=0, atol=0)
    assert set(state) == {"model", "optimizer", "schedule", "ema"}


def test_synchronised_batch_norm_makes_an_epoch_that_of_one_process(found):
    mine, state, *_ = trained(ALONE, SYNCED)
    for theirs, their_state, *_ in found["synced"]:
        assert theirs.metrics["train/loss"] == pytest.approx(mine.metrics["train/loss"], rel=1e-4)
        assert theirs.metrics["val/loss"] == pytest.approx(mine.metrics["val/loss"], rel=1e-4)
        for name, tensor in state["model"].items():
            torch.testing.assert_close(their_state["model"][name], tensor, rtol=1e-3, atol=1e-4)


class Part(Ranks):
    def __init__(self, rank, size):
        self.rank, self.size = rank, size


@pytest.mark.parametrize(("images", "batch_size", "size"), [(13, 4, 2), (7, 4, 2), (9, 8, 3), (5, 3, 3), (11, 5, 2)])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_shares_of_a_batch_are_the_batch(images, batch_size, size, threads):
    data, pipeline = a_split(images), build_pipeline(AugmentSettings(set="flips"), (16, 24), 3)

    def batches(ranks):
        return list(TrainBatches(data, batch_size, pipeline, 5, threads, ranks=ranks).epoch(2))

    shares = [batches(Part(rank, size)) for rank in range(size)]
    for (whole_images, whole_masks), *parts in zip(batches(ALONE), *shares, strict=True):
        counted = [(i, m) for part in parts for i, m in zip(*part, strict=True) if not (m == 255).all()]
        np.testing.assert_array_equal(np.stack([image for image, _ in counted]), whole_images)
        np.testing.assert_array_equal(np.stack([mask for _, mask in counted]), whole_masks)
        assert min(len(part[0]) for part in parts) >= min(2, batch_size // size)


def test_a_batch_that_does_not_reach_all_ranks_is_refused():
    pipeline = build_pipeline(AugmentSettings(), (16, 24), 3)
    with pytest.raises(DataError, match="batch_size: 2 images are too few for the 3 processes"):
        TrainBatches(a_split(6), 2, pipeline, 0, ranks=Part(0, 3))
