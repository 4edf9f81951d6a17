"""Measuring a split against a plain pass, image by image."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from trainables.data.batches import to_tensor
from trainables.inference import Inference
from trainables.losses.criterion import Criterion
from trainables.losses.settings import LossSettings
from trainables.models.settings import ModelSettings
from trainables.models.table import build_net
from trainables.validation import validate

WEIGHTS = torch.tensor([0.5, 1.0, 1.5])
CRITERION = LossSettings.model_validate({"terms": {"dice": {"weight": 0.5}}})


@pytest.fixture(scope="module")
def inference():
    torch.manual_seed(0)
    net = build_net(ModelSettings(width=4, depth=2), 3, 3)
    return Inference(net.to(memory_format=torch.channels_last), torch.device("cpu"), "fp32", "none")


@pytest.fixture(scope="module")
def mixed_sizes(make_split):
    """Masks at sizes of their own, that of the images not among them."""
    data = make_split(images=5)
    shapes = [(20, 30), (20, 30), (31, 17), (8, 9), (20, 30)]
    own = [np.resize(data.masks_NHW[i], shape) for i, shape in enumerate(shapes)]
    return dataclasses.replace(
        data, own_shapes_N2=np.array(shapes), own_pixels=np.concatenate([mask.ravel() for mask in own])
    )


def plain_pass(inference, data):
    """Counts per image and unweighted cross-entropy, one image at a time."""
    counts, total, pixels = [], 0.0, 0
    inference.model.eval()
    for index in range(len(data.names)):
        mask = torch.from_numpy(data.own_mask(index)).long()[None]
        with torch.no_grad():
            logits = inference.model(to_tensor(np.array(data.images_NHWC[index : index + 1]), "cpu", "none"))
        logits = functional.interpolate(logits, size=mask.shape[1:], mode="bilinear", align_corners=False).double()
        total += float(functional.cross_entropy(logits, mask, ignore_index=255, reduction="sum"))
        pixels += int((mask != 255).sum())
        matrix = np.zeros((3, 3), dtype=np.int64)
        np.add.at(matrix, (mask[mask != 255].numpy(), logits.argmax(1)[mask != 255].numpy()), 1)
        counts.append(matrix)
    return np.stack(counts), total / pixels


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_equals_a_plain_pass_at_any_batch_size(inference, mixed_sizes, batch_size):
    counts_NKK, ce = plain_pass(inference, mixed_sizes)
    result = validate(
        inference, Criterion(CRITERION, WEIGHTS), mixed_sizes, batch_size, per_image=True, pictures=(1, 3)
    )
    np.testing.assert_array_equal(result.per_image_counts_NKK, counts_NKK)
    np.testing.assert_array_equal(result.counts_KK, counts_NKK.sum(0))
    assert result.ce == pytest.approx(ce, rel=1e-6)
    assert {index: picture.shape for index, picture in result.predictions.items()} == {1: (20, 30), 3: (8, 9)}
    for index, picture in result.predictions.items():
        own = mixed_sizes.own_mask(index)
        assert np.trace(counts_NKK[index]) == (picture == own).sum()


def test_losses_do_not_depend_on_the_batch_size(inference, mixed_sizes):
    losses = [validate(inference, Criterion(CRITERION, WEIGHTS), mixed_sizes, n).loss for n in (1, 2, 5)]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-6)


def test_the_unweighted_loss_is_the_cross_entropy(inference, mixed_sizes):
    result = validate(inference, Criterion(LossSettings(), None), mixed_sizes, 2)
    assert result.loss == result.ce


def test_nothing_of_the_model_moves(inference, mixed_sizes):
    before = {name: value.clone() for name, value in inference.model.state_dict().items()}
    validate(inference, Criterion(CRITERION, None), mixed_sizes, 2)
    assert all(torch.equal(value, before[name]) for name, value in inference.model.state_dict().items())
