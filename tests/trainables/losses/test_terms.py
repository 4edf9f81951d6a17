"""Cross-entropy and dice against loops over pixels, torch and segmentation_models.pytorch."""

import math

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch.nn import functional

from trainables.losses.criterion import TERMS, Criterion, EpochLoss
from trainables.losses.cross_entropy import CrossEntropy
from trainables.losses.dice import Dice
from trainables.losses.scores import Scores
from trainables.losses.settings import CrossEntropySettings, DiceSettings, LossSettings, TermsSettings
from trainables.losses.target import Target
from trainables.losses.terms import LossError

WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.5])


def batch(seed=0, images=3, classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, 5, 7, generator=generator) * 2
    masks = torch.randint(0, classes, (images, 5, 7), generator=generator).to(torch.uint8)
    masks[:, 0, :4] = 255
    return logits, masks


def scores_of(logits, masks):
    return Scores(logits, Target(masks, logits.shape[1]))


def both_terms(weights=None):
    return Criterion(LossSettings.model_validate({"terms": {"dice": {"weight": 0.7}}}), weights)


def chances(logits):
    exponents = np.exp(logits.double().numpy())
    return exponents / exponents.sum(1, keepdims=True)


def test_every_term_of_the_settings_has_a_row():
    assert set(TERMS) == set(TermsSettings.model_fields)


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
@pytest.mark.parametrize("cut", [1, 2])
def test_an_epoch_does_not_depend_on_how_it_is_cut_into_batches(weights, cut):
    logits, masks = batch()
    criterion = both_terms(weights)
    whole, parts = EpochLoss(criterion), EpochLoss(criterion)
    whole.add(criterion.statistics(scores_of(logits, masks)))
    for part in (slice(0, cut), slice(cut, 3)):
        parts.add(criterion.statistics(scores_of(logits[part], masks[part])))
    assert parts.value() == pytest.approx(whole.value(), rel=1e-6)
    assert whole.value() == pytest.approx(
        float(criterion.value(criterion.statistics(scores_of(logits, masks)))), rel=1e-6
    )


def test_permuting_classes_changes_nothing():
    logits, masks = batch()
    order = torch.tensor([2, 0, 3, 1])
    new_label = torch.argsort(order).to(torch.uint8)
    permuted = torch.where(masks == 255, masks, new_label[masks.clamp_max(3).long()])
    before, after = both_terms(WEIGHTS), both_terms(WEIGHTS[order])
    value = before.value(before.statistics(scores_of(logits, masks)))
    assert float(after.value(after.statistics(scores_of(logits[:, order], permuted)))) == pytest.approx(
        float(value), rel=1e-6
    )


def test_ignored_pixels_have_no_gradient_and_valid_ones_do():
    logits, masks = batch()
    logits.requires_grad_()
    criterion = both_terms()
    criterion.value(criterion.statistics(scores_of(logits, masks))).backward()
    changed = logits.grad.abs().sum(1) > 0
    assert torch.equal(changed, masks != 255)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_batch_without_valid_pixels_is_zero_with_a_zero_gradient(weights):
    logits, masks = batch()
    logits.requires_grad_()
    masks.fill_(255)
    criterion = both_terms(weights)
    value = criterion.value(criterion.statistics(scores_of(logits, masks)))
    value.backward()
    assert value.detach() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_terms_add_up_with_their_weights_and_zero_removes_one():
    logits, masks = batch()
    criterion = both_terms()
    assert criterion.factors == {"cross_entropy": 1.0, "dice": 0.7}
    value = float(criterion.value(criterion.statistics(scores_of(logits, masks))))
    expected = functional.cross_entropy(logits, masks.long(), ignore_index=255) + 0.7 * DiceLoss(
        "multiclass", ignore_index=255
    )(logits, masks.long())
    assert value == pytest.approx(float(expected), rel=1e-5)
    assert Criterion(LossSettings(), None).factors == {"cross_entropy": 1.0}


def test_bf16_logits_are_summed_in_fp32():
    logits, masks = batch()
    statistics = both_terms().statistics(scores_of(logits.bfloat16(), masks))
    assert all(value.dtype == torch.float32 for value in statistics.values())


def test_a_loss_without_terms_is_refused():
    with pytest.raises(LossError, match="every weight is 0"):
        Criterion(LossSettings.model_validate({"terms": {"cross_entropy": {"weight": 0}}}), None)
