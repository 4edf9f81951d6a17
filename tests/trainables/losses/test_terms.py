"""Each term against loops over pixels, torch and segmentation_models.pytorch, and worked by hand."""

import math

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss, LovaszLoss
from torch.nn import functional

from trainables.losses.cross_entropy import CrossEntropy
from trainables.losses.dice import Dice
from trainables.losses.focal import Focal
from trainables.losses.lovasz import Lovasz, _slopes
from trainables.losses.scores import Scores
from trainables.losses.settings import CrossEntropySettings, DiceSettings, FocalSettings, LovaszSettings
from trainables.losses.target import Target

WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.5])


def batch(seed=0, images=3, classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, 5, 7, generator=generator) * 2
    masks = torch.randint(0, classes, (images, 5, 7), generator=generator).to(torch.uint8)
    masks[:, 0, :4] = 255
    return logits, masks


def scores_of(logits, masks):
    return Scores(logits, Target(masks, logits.shape[1]))


def chances(logits):
    exponents = np.exp(logits.double().numpy())
    return exponents / exponents.sum(1, keepdims=True)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_equals_a_loop_and_torch(weights):
    logits, masks = batch()
    term = CrossEntropy(CrossEntropySettings(), weights)
    value = float(term.value(term.statistics(scores_of(logits, masks))))
    total = norm = 0.0
    chance = chances(logits)
    for image, row, column in np.ndindex(*masks.shape):
        label = int(masks[image, row, column])
        if label != 255:
            weight = 1.0 if weights is None else float(weights[label])
            total -= weight * math.log(chance[image, label, row, column])
            norm += weight
    assert value == pytest.approx(total / norm, rel=1e-6)
    torch_value = functional.cross_entropy(logits, masks.long(), weight=weights, ignore_index=255)
    assert value == pytest.approx(float(torch_value), rel=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.1, 0.6])
def test_label_smoothing_equals_torch(weights, smoothing):
    logits, masks = batch()
    term = CrossEntropy(CrossEntropySettings(label_smoothing=smoothing), weights)
    expected = functional.cross_entropy(
        logits, masks.long(), weight=weights, ignore_index=255, label_smoothing=smoothing
    )
    assert float(term.value(term.statistics(scores_of(logits, masks)))) == pytest.approx(float(expected), rel=1e-6)


def test_label_smoothing_hand_worked():
    """p = 1/4 and 3/4 with target 1 and weights 1 and 3: half of 3 log(4/3), half of the mean of log 4 and that."""
    logits = torch.tensor([0.0, math.log(3)]).reshape(1, 2, 1, 1)
    masks = torch.ones(1, 1, 1, dtype=torch.uint8)
    term = CrossEntropy(CrossEntropySettings(label_smoothing=0.5), torch.tensor([1.0, 3.0]))
    hit, spread = 3 * math.log(4 / 3), (math.log(4) + 3 * math.log(4 / 3)) / 2
    expected = (hit / 2 + spread / 2) / 3
    assert float(term.value(term.statistics(scores_of(logits, masks)))) == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_hand_worked():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]]).T.reshape(1, 2, 1, 2)
    masks = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    term = CrossEntropy(CrossEntropySettings(), torch.tensor([1.0, 3.0]))
    expected = (3 * math.log(4 / 3) + math.log(2)) / 4
    assert float(term.value(term.statistics(scores_of(logits, masks)))) == pytest.approx(expected, rel=1e-6)


def test_dice_equals_a_loop_over_present_classes():
    logits, masks = batch()
    masks[masks == 2] = 255
    term = Dice(DiceSettings(), None)
    value = float(term.value(term.statistics(scores_of(logits, masks))))
    chance, labels, losses = chances(logits), masks.numpy(), []
    for k in (0, 1, 3):
        valid = labels != 255
        hit = chance[:, k][labels == k].sum()
        losses.append(1 - 2 * hit / (chance[:, k][valid].sum() + (labels == k).sum()))
    assert value == pytest.approx(sum(losses) / 3, rel=1e-6)


def test_dice_equals_smp_where_all_classes_are_present():
    logits, masks = batch()
    term = Dice(DiceSettings(), None)
    expected = DiceLoss("multiclass", ignore_index=255)(logits, masks.long())
    assert float(term.value(term.statistics(scores_of(logits, masks)))) == pytest.approx(float(expected), rel=1e-5)


def test_dice_of_a_perfect_prediction_is_zero():
    _, masks = batch()
    masks[masks == 255] = 0
    logits = functional.one_hot(masks.long(), 4).permute(0, 3, 1, 2).float() * 100
    term = Dice(DiceSettings(), None)
    assert float(term.value(term.statistics(scores_of(logits, masks)))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_equals_a_loop(weights, gamma):
    logits, masks = batch()
    term = Focal(FocalSettings(gamma=gamma), weights)
    value = float(term.value(term.statistics(scores_of(logits, masks))))
    total = norm = 0.0
    chance = chances(logits)
    for image, row, column in np.ndindex(*masks.shape):
        label = int(masks[image, row, column])
        if label != 255:
            weight = 1.0 if weights is None else float(weights[label])
            hit = chance[image, label, row, column]
            total -= weight * (1 - hit) ** gamma * math.log(hit)
            norm += weight
    assert value == pytest.approx(total / norm, rel=1e-5)


def test_focal_hand_worked():
    """p of the target 3/4 and 1/2: ((1/4)^2 log(4/3) + 3 (1/2)^2 log 2) / 4."""
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]]).T.reshape(1, 2, 1, 2)
    masks = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    term = Focal(FocalSettings(gamma=2), torch.tensor([3.0, 1.0]))
    expected = (math.log(4 / 3) / 16 + 3 * math.log(2) / 4) / 4
    assert float(term.value(term.statistics(scores_of(logits, masks)))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_focal_without_gamma_is_the_cross_entropy_with_its_gradient(weights):
    gradients = []
    for term in (Focal(FocalSettings(gamma=0), weights), CrossEntropy(CrossEntropySettings(), weights)):
        logits, masks = batch()
        logits.requires_grad_()
        term.value(term.statistics(scores_of(logits, masks))).backward()
        gradients.append(logits.grad)
    assert torch.equal(*gradients)


def naive_lovasz(logits, masks, classes):
    """Sorted errors times the growth of the Jaccard loss of the set of wrong pixels, as sets; present classes alone."""
    chance, labels = chances(logits).transpose(1, 0, 2, 3).reshape(classes, -1), masks.numpy().ravel()
    losses = []
    for k in range(classes):
        own = {i for i in range(len(labels)) if labels[i] == k}
        if not own:
            continue
        errors = {i: 1 - chance[k, i] if i in own else chance[k, i] for i in range(len(labels)) if labels[i] != 255}
        wrong, before, loss = set(), 0.0, 0.0
        for i in sorted(errors, key=lambda i: -errors[i]):
            wrong.add(i)
            jaccard = len(wrong) / len(own | wrong)
            loss += errors[i] * (jaccard - before)
            before = jaccard
        losses.append(loss)
    return sum(losses) / len(losses)


def test_lovasz_equals_sets_of_pixels_and_smp():
    logits, masks = batch()
    masks[masks == 2] = 0
    term = Lovasz(LovaszSettings(), None)
    value = float(term.value(term.statistics(scores_of(logits, masks))))
    assert value == pytest.approx(naive_lovasz(logits, masks, 4), rel=1e-5)
    assert value == pytest.approx(float(LovaszLoss("multiclass", ignore_index=255)(logits, masks.long())), rel=1e-5)


def test_lovasz_hand_worked():
    """Two pixels of classes 1 and 0 with p_1 = 0.6 and 0.3.

    Class 1: errors 0.4 and 0.3; the first alone already has the Jaccard loss 1. Class 0: the first pixel, wrong alone,
    has 1 / 2, both have 1.
    """
    chance = torch.tensor([[0.4, 0.7], [0.6, 0.3]])
    masks = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    term = Lovasz(LovaszSettings(), None)
    value = float(term.value(term.statistics(scores_of(chance.log().reshape(1, 2, 1, 2), masks))))
    assert value == pytest.approx((0.4 + (0.4 + 0.3) / 2) / 2, rel=1e-6)


def test_lovasz_of_certain_predictions_is_one_minus_the_mean_iou():
    logits, masks = batch()
    labels = logits.argmax(1)
    hard = functional.one_hot(labels, 4).permute(0, 3, 1, 2).float() * 200
    ious = []
    for k in range(4):
        predicted, own = (labels == k) & (masks != 255), masks == k
        ious.append(float((predicted & own).sum() / (predicted | own).sum()))
    term = Lovasz(LovaszSettings(), None)
    value = float(term.value(term.statistics(scores_of(hard, masks))))
    assert value == pytest.approx(1 - sum(ious) / 4, rel=1e-5)


def test_lovasz_of_an_epoch_is_the_mean_of_batches_weighted_by_pixels():
    logits, masks = batch()
    masks[0, 1:] = 255
    term = Lovasz(LovaszSettings(), None)
    parts = [term.statistics(scores_of(logits[cut], masks[cut])) for cut in (slice(0, 1), slice(1, 3))]
    pixels = [int((masks[cut] != 255).sum()) for cut in (slice(0, 1), slice(1, 3))]
    expected = sum(float(term.value(part)) * n for part, n in zip(parts, pixels, strict=True)) / sum(pixels)
    assert float(term.value(parts[0] + parts[1])) == pytest.approx(expected, rel=1e-6)


def test_lovasz_slopes_over_a_million_pixels_keep_their_precision():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(1_000_000, generator=generator) < 0.3
    hits = truth.double().cumsum(0)
    union = hits[-1] + torch.arange(1, len(truth) + 1) - hits
    jaccard = 1 - (hits[-1] - hits) / union
    expected = torch.diff(jaccard, prepend=torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(_slopes(truth).double(), expected, rtol=1e-5, atol=1e-15)
