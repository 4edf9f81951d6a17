"""What holds of every term, and of their sum."""

import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch.nn import functional

from trainables.losses.criterion import TERMS, Criterion, EpochLoss, build_criterion
from trainables.losses.scores import Scores
from trainables.losses.settings import LossSettings, TermsSettings
from trainables.losses.target import Target
from trainables.losses.terms import LossError

WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.5])
# Terms of one's own are tested beside docs/extending.md.
OURS = [name for name in TERMS if name != "custom"]
ADDING_UP = sorted(set(OURS) - {"lovasz"})


def batch(seed=0, images=3, classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, 5, 7, generator=generator) * 2
    masks = torch.randint(0, classes, (images, 5, 7), generator=generator).to(torch.uint8)
    masks[:, 0, :4] = 255
    return logits, masks


def scores_of(logits, masks):
    return Scores(logits, Target(masks, logits.shape[1]))


def term_of(name, weights=None):
    """A term with every parameter in use."""
    parameters = {"cross_entropy": {"label_smoothing": 0.1}, "focal": {"gamma": 0.5}}
    return TERMS[name](type(getattr(TermsSettings(), name)).model_validate(parameters.get(name, {})), weights)


def value_of(term, logits, masks):
    return term.value(term.statistics(scores_of(logits, masks)))


def loss_of(**terms):
    return LossSettings.model_validate({"terms": terms})


def test_every_term_of_the_settings_has_a_row():
    assert set(TERMS) == set(TermsSettings.model_fields)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("cut", [1, 2])
def test_an_epoch_does_not_depend_on_how_it_is_cut_into_batches(weights, cut):
    logits, masks = batch()
    criterion = Criterion(loss_of(**{name: {"weight": 0.7} for name in ADDING_UP}), weights)
    whole, parts = EpochLoss(criterion), EpochLoss(criterion)
    whole.add(criterion.statistics(scores_of(logits, masks)))
    for part in (slice(0, cut), slice(cut, 3)):
        parts.add(criterion.statistics(scores_of(logits[part], masks[part])))
    assert parts.value() == pytest.approx(whole.value(), rel=1e-6)
    assert whole.value() == pytest.approx(
        float(criterion.value(criterion.statistics(scores_of(logits, masks)))), rel=1e-6
    )


@pytest.mark.parametrize("name", OURS)
def test_permuting_classes_changes_nothing(name):
    logits, masks = batch()
    order = torch.tensor([2, 0, 3, 1])
    new_label = torch.argsort(order).to(torch.uint8)
    permuted = torch.where(masks == 255, masks, new_label[masks.clamp_max(3).long()])
    value = value_of(term_of(name, WEIGHTS), logits, masks)
    after = value_of(term_of(name, WEIGHTS[order]), logits[:, order], permuted)
    assert float(after) == pytest.approx(float(value), rel=1e-5)


@pytest.mark.parametrize("name", OURS)
def test_ignored_pixels_have_no_gradient_and_valid_ones_do(name):
    logits, masks = batch()
    logits.requires_grad_()
    value_of(term_of(name), logits, masks).backward()
    changed = logits.grad.abs().sum(1) > 0
    assert not changed[masks == 255].any()
    assert changed[masks != 255].float().mean() > 0.9


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("name", OURS)
def test_a_batch_without_valid_pixels_is_zero_with_a_zero_gradient(name, weights):
    logits, masks = batch()
    logits.requires_grad_()
    masks.fill_(255)
    value = value_of(term_of(name, weights), logits, masks)
    value.backward()
    assert value.detach() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("sharpness", [1.0, 1e4])
@pytest.mark.parametrize("label", [1, 2])
@pytest.mark.parametrize("name", OURS)
def test_batches_of_one_class_have_finite_gradients(name, label, sharpness):
    """Class 2 has weight 0; at 1e4 every pixel is certain, right or wrong."""
    logits, masks = batch()
    logits = (logits * sharpness).requires_grad_()
    masks[masks != 255] = label
    value = value_of(term_of(name, WEIGHTS), logits, masks)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", OURS)
def test_gradients_are_those_of_finite_differences(name):
    logits, masks = batch(images=2)
    logits, masks = logits[:, :, :2, :5], masks[:, :2, :5]
    logits.requires_grad_()
    value_of(term_of(name, WEIGHTS), logits, masks).backward()
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(logits.shape, generator=generator)
    step = 2e-3
    with torch.no_grad():
        up, down = (value_of(term_of(name, WEIGHTS), logits + sign * step * direction, masks) for sign in (1, -1))
    assert float((up - down) / (2 * step)) == pytest.approx(float((logits.grad * direction).sum()), rel=2e-2, abs=1e-4)


def test_terms_add_up_with_their_weights_and_zero_removes_one():
    logits, masks = batch()
    criterion = Criterion(loss_of(dice={"weight": 0.7}), None)
    assert criterion.factors == {"cross_entropy": 1.0, "dice": 0.7}
    value = float(criterion.value(criterion.statistics(scores_of(logits, masks))))
    expected = functional.cross_entropy(logits, masks.long(), ignore_index=255) + 0.7 * DiceLoss(
        "multiclass", ignore_index=255
    )(logits, masks.long())
    assert value == pytest.approx(float(expected), rel=1e-5)
    assert Criterion(LossSettings(), None).factors == {"cross_entropy": 1.0}


def test_bf16_logits_are_summed_in_fp32():
    logits, masks = batch()
    criterion = Criterion(loss_of(**{name: {"weight": 1} for name in OURS}), None)
    statistics = criterion.statistics(scores_of(logits.bfloat16(), masks))
    assert set(statistics) == set(OURS)
    assert all(value.dtype == torch.float32 for value in statistics.values())


def test_only_the_terms_with_a_weight_are_computed():
    logits, masks = batch()
    scores = scores_of(logits, masks)
    Criterion(LossSettings(), None).statistics(scores)
    assert not {"distances_BKHW", "labels_BHW", "present"} & set(vars(scores.target))


@pytest.mark.parametrize("name", OURS)
def test_ignoring_classes_in_the_target_is_ignoring_their_pixels(name):
    logits, masks = batch()
    settings = loss_of(cross_entropy={"weight": 0.5}, **({name: {"weight": 2}} if name != "cross_entropy" else {}))
    ignoring = Criterion(settings, WEIGHTS, ignore_target=(0, 3))
    plain = Criterion(settings, WEIGHTS)
    rest = masks.clone()
    rest[(masks == 0) | (masks == 3)] = 255
    value = ignoring.value(ignoring.statistics(scores_of(logits, masks)))
    assert torch.equal(value, plain.value(plain.statistics(scores_of(logits, rest))))
    assert (masks == 0).any()


def test_classes_to_ignore_are_named():
    settings = LossSettings.model_validate({"ignore_target": ["rock", "soil"]})
    criterion = build_criterion(settings, [0.5, 1.5, 1.0], ("soil", "sand", "rock"), torch.device("cpu"))
    assert criterion.ignore_target == (2, 0)
    assert criterion.weights_K.tolist() == [0.5, 1.5, 1.0]


def test_the_weight_of_a_term_with_warm_up_grows_by_the_epoch():
    criterion = Criterion(loss_of(boundary={"weight": 0.4, "warmup_epochs": 4}, dice={"weight": 1}), None)
    assert criterion.at(1).factors == {"cross_entropy": 1.0, "dice": 1.0}
    found = [criterion.at(epoch).factors["boundary"] for epoch in (2, 3, 4, 5, 6, 90)]
    assert found == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    assert criterion.factors["boundary"] == 0.4
    assert criterion.at(3).factors["dice"] == 1


def test_the_parameters_in_force_are_told():
    terms = {
        "cross_entropy": {"label_smoothing": 0.1},
        "focal": {"weight": 1, "gamma": 3},
        "boundary": {"weight": 1, "warmup_epochs": 2},
        "lovasz": {"weight": 1},
    }
    assert Criterion(loss_of(**terms), None).parameters == {
        "cross_entropy": {"label_smoothing": 0.1},
        "focal": {"gamma": 3.0},
        "boundary": {"warmup_epochs": 2.0},
        "lovasz": {},
    }


def test_a_loss_without_terms_and_a_boundary_alone_are_refused():
    with pytest.raises(LossError, match="every weight is 0"):
        Criterion(loss_of(cross_entropy={"weight": 0}), None)
    with pytest.raises(LossError, match=r"loss.terms.boundary: alone .* region term"):
        Criterion(loss_of(cross_entropy={"weight": 0}, boundary={"weight": 1}), None)
