"""Metrics against a plain loop over pixels, scikit-learn and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from trainables.metrics import ConfusionMatrix, MetricError, iou_K, mean_iou, miou_of, pixel_accuracy

CPU = torch.device("cpu")


def counts_of(prediction, target, classes, ignore_target=()):
    matrix = ConfusionMatrix(classes, CPU, ignore_target)
    matrix.update(torch.from_numpy(prediction), torch.from_numpy(target))
    return matrix.counts_KK.numpy()


def loop_counts(prediction, target, classes, ignore_target=()):
    counts = np.zeros((classes, classes), dtype=np.int64)
    for p, t in zip(prediction.ravel().tolist(), target.ravel().tolist(), strict=True):
        if t != 255 and t not in ignore_target:
            counts[t, p] += 1
    return counts


def loop_miou(counts, exclude=()):
    values = []
    for k in range(len(counts)):
        row, column, hit = sum(counts[k].tolist()), sum(counts[:, k].tolist()), int(counts[k, k])
        if row > 0 and k not in exclude:
            values.append(hit / (row + column - hit))
    return math.fsum(values) / len(values)


def random_pair(classes, seed=0, shape=(3, 17, 23)):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, shape, dtype=np.uint8)
    prediction = np.where(rng.random(shape) < 0.6, target, rng.integers(0, classes, shape)).astype(np.int64)
    target[rng.random(shape) < 0.1] = 255
    return prediction, target


@pytest.mark.parametrize("classes", [2, 11, 37, 181, 254])
def test_counts_and_miou_equal_a_loop_to_the_last_digit(classes):
    prediction, target = random_pair(classes)
    counts = counts_of(prediction, target, classes)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, loop_counts(prediction, target, classes))
    assert miou_of(counts) == loop_miou(counts)
    assert pixel_accuracy(counts) == (prediction == target).sum() / (target != 255).sum()


def test_counts_and_iou_equal_sklearn_and_torchmetrics():
    prediction, target = random_pair(37, shape=(4, 60, 80))
    counts = counts_of(prediction, target, 37)
    valid = target != 255
    np.testing.assert_array_equal(counts, confusion_matrix(target[valid], prediction[valid], labels=range(37)))
    np.testing.assert_array_equal(iou_K(counts), jaccard_score(target[valid], prediction[valid], average=None))
    peer = MulticlassConfusionMatrix(37, ignore_index=255)
    peer.update(torch.from_numpy(prediction), torch.from_numpy(target).long())
    np.testing.assert_array_equal(counts, peer.compute().numpy())
    jaccard = MulticlassJaccardIndex(37, average="macro", ignore_index=255)
    expected = float(jaccard(torch.from_numpy(prediction), torch.from_numpy(target).long()))
    assert miou_of(counts) == pytest.approx(expected, abs=1e-6)  # theirs is float32


def test_hand_worked_example():
    target = np.array([[[0, 0, 0, 1], [1, 2, 2, 255]]], dtype=np.uint8)
    prediction = np.array([[[0, 0, 1, 1], [0, 2, 2, 2]]])
    counts = counts_of(prediction, target, 4)
    np.testing.assert_array_equal(counts, [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(iou_K(counts), [2 / 4, 1 / 3, 1.0, math.nan])
    assert miou_of(counts) == math.fsum([2 / 4, 1 / 3, 1.0]) / 3
    assert pixel_accuracy(counts) == 5 / 7


def test_absent_class_that_is_predicted_counts_as_false_positive_but_not_in_the_mean():
    counts = np.array([[3, 1], [0, 0]], dtype=np.int64)
    np.testing.assert_array_equal(iou_K(counts), [0.75, 0.0])
    assert miou_of(counts) == 0.75


def test_excluded_class_stays_in_the_matrix():
    prediction, target = random_pair(5)
    counts = counts_of(prediction, target, 5)
    assert miou_of(counts, exclude=(0,)) == loop_miou(loop_counts(prediction, target, 5), exclude=(0,))


def test_ignored_target_leaves_the_matrix():
    prediction, target = random_pair(5)
    counts = counts_of(prediction, target, 5, ignore_target=(0, 3))
    np.testing.assert_array_equal(counts, loop_counts(prediction, target, 5, ignore_target=(0, 3)))
    assert counts[0].sum() == counts[3].sum() == 0 < counts[:, 0].sum()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 8))
def test_splitting_into_batches_changes_nothing(seed, cut):
    prediction, target = random_pair(6, seed, shape=(8, 5, 7))
    matrix = ConfusionMatrix(6, CPU)
    for part in (slice(0, cut), slice(cut, 8)):
        matrix.update(torch.from_numpy(prediction[part]), torch.from_numpy(target[part]))
    np.testing.assert_array_equal(matrix.counts_KK.numpy(), counts_of(prediction, target, 6))


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(6)))
def test_permuting_classes_permutes_iou_and_keeps_the_mean(order):
    prediction, target = random_pair(6)
    new = np.array([*order, *[255] * 250], dtype=np.uint8)
    counts = counts_of(prediction, target, 6)
    permuted = counts_of(new[prediction].astype(np.int64), new[target], 6)
    np.testing.assert_array_equal(iou_K(permuted)[list(order)], iou_K(counts))
    assert miou_of(permuted) == miou_of(counts)


def test_target_is_not_changed():
    prediction, target = random_pair(5)
    before = target.copy()
    counts_of(prediction, target, 5, ignore_target=(1,))
    np.testing.assert_array_equal(target, before)


def test_label_beyond_the_classes_is_refused():
    with pytest.raises(MetricError, match="2 target pixels carry labels beyond the 3 classes"):
        counts_of(np.zeros((1, 1, 3), dtype=np.int64), np.array([[[3, 9, 255]]], dtype=np.uint8), 3)


def test_other_shapes_are_refused():
    with pytest.raises(MetricError, match="resize the logits"):
        counts_of(np.zeros((1, 2, 3), dtype=np.int64), np.zeros((1, 3, 2), dtype=np.uint8), 3)


def test_mean_over_no_class_is_refused():
    with pytest.raises(MetricError, match="no class of this split counts"):
        mean_iou(np.array([0.5, np.nan]), np.array([True, False]), exclude=(0,))


@pytest.mark.gpu
def test_same_counts_on_the_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    prediction, target = random_pair(37)
    matrix = ConfusionMatrix(37, torch.device("cuda"))
    matrix.update(torch.from_numpy(prediction).cuda(), torch.from_numpy(target).cuda())
    np.testing.assert_array_equal(matrix.counts_KK.cpu().numpy(), loop_counts(prediction, target, 37))
