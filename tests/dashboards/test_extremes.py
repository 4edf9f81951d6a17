"""The worst and best image of each class, against masks compared one by one, and the pictures of them."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from optuna.trial import TrialState
from PIL import Image

from dashboards.extremes import COUNTS, find_extremes, image_iou_NK, read_image_counts
from dashboards.figures.extremes import draw_extremes, extremes_table
from dashboards.figures.extremes_compared import draw_extremes_compared
from dashboards.masks import FALSE, IGNORE, MISSED, OTHER, Picture, error_picture
from search.records.study import StudyRecord
from tests.dashboards.studies import CLASSES, IMAGES, Builder, counted, masks_of, write_extremes


def complete(builder: Builder, value: float) -> Path:
    return builder.folder(builder.trial([value], TrialState.COMPLETE, "finished"))


@pytest.fixture
def compared(builder: Builder) -> StudyRecord:
    """Three trials, of which the second is the best."""
    write_extremes(complete(builder, 0.5), seed=1, wrong=0.9)
    write_extremes(complete(builder, 0.7), seed=2, wrong=0.6)
    write_extremes(complete(builder, 0.6), seed=3, wrong=0.7)
    return builder.read()


def test_iou_within_an_image_is_that_of_its_two_masks() -> None:
    truth_NHW, prediction_NHW = masks_of(1, 0.9)
    iou_NK = image_iou_NK(counted(truth_NHW, prediction_NHW))
    for n, (truth, prediction) in enumerate(zip(truth_NHW, prediction_NHW, strict=True)):
        valid = truth != IGNORE
        for k in range(len(CLASSES)):
            target, found = (truth == k) & valid, (prediction == k) & valid
            expected = (target & found).sum() / (target | found).sum() if target.any() else np.nan
            np.testing.assert_equal(iou_NK[n, k], expected)


def test_worst_and_best_are_those_of_a_plain_search() -> None:
    counts_NKK = counted(*masks_of(1, 0.9))
    iou_NK = image_iou_NK(counts_NKK)
    extremes = find_extremes(counts_NKK)
    # Nothing is of the fifth class, though it is predicted.
    assert [(one.label, one.which) for one in extremes] == [(k, which) for k in range(4) for which in ("worst", "best")]
    for one in extremes:
        within = [n for n in range(IMAGES) if counts_NKK[n, one.label].sum() > 0]
        ious = {n: iou_NK[n, one.label] for n in within}
        assert one.iou == ious[one.image] == (min if one.which == "worst" else max)(ious.values())
        assert one.images == len(within) == (IMAGES - 1 if one.label == 3 else IMAGES)


def counts_of(*images: tuple[int, int, int]) -> NDArray[np.int64]:
    """Of two classes: pixels of class 1 that are hit and missed, and pixels of class 0, all hit."""
    return np.array([[[rest, 0], [missed, hit]] for hit, missed, rest in images])


def test_a_few_pixels_do_not_make_an_image_the_worst_or_the_best() -> None:
    counts_NKK = counts_of((0, 1, 9999), (1, 0, 9999), (30, 70, 9900), (80, 20, 9900))
    rare = [one for one in find_extremes(counts_NKK) if one.label == 1]
    assert [(one.which, one.image, one.iou, one.images) for one in rare] == [("worst", 2, 0.3, 2), ("best", 3, 0.8, 2)]


def test_where_a_class_is_small_everywhere_all_its_images_are_judged() -> None:
    rare = [one for one in find_extremes(counts_of((0, 1, 9999), (1, 0, 9999), (0, 0, 5))) if one.label == 1]
    assert [(one.which, one.image, one.images) for one in rare] == [("worst", 0, 2), ("best", 1, 2)]


def test_of_equal_images_the_one_with_more_of_the_class_is_taken() -> None:
    rare = find_extremes(counts_of((0, 10, 90), (0, 30, 70), (20, 0, 80), (40, 0, 60), (40, 0, 60)))[2:]
    assert [(one.which, one.image) for one in rare] == [("worst", 1), ("best", 3)]


def test_a_class_in_one_image_has_an_only_one() -> None:
    assert [(one.which, one.image) for one in find_extremes(counts_of((5, 5, 90), (0, 0, 100))) if one.label == 1] == [
        ("only", 0)
    ]


def test_the_table_has_every_class_with_the_iou_of_each_compared_trial(compared: StudyRecord) -> None:
    rows = extremes_table(compared)
    assert list(rows[0]) == ["class", "which", "image", "images judged", "IoU, trial 1", "IoU, trial 2", "IoU, trial 0"]
    assert [row["class"] for row in rows] == [name for name in CLASSES[:4] for _ in range(2)]
    truth_NHW, prediction_NHW = masks_of(3, 0.7)
    for row in rows:
        image, label = int(row["image"].rpartition("_")[2]), CLASSES.index(row["class"])
        valid = truth_NHW[image] != IGNORE
        target, found = truth_NHW[image] == label, (prediction_NHW[image] == label) & valid
        assert row["IoU, trial 2"] == (target & found).sum() / (target | found).sum()


def test_a_class_has_its_worst_and_best_image_with_the_errors_in_colours(compared: StudyRecord) -> None:
    figure = draw_extremes(compared)
    images = figure.layout.images
    assert len(images) == 4 * len(extremes_table(compared))
    labels = [one.text for one in figure.layout.annotations if "IoU" in one.text]
    expected = [
        f"{row['class']}, {row['which']}: IoU {row['IoU, trial 1']:.4f} · {row['image']}"
        for row in extremes_table(compared)
    ]
    assert sorted(labels) == sorted(expected)
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(images[3].source.partition(",")[2]))))
    name, label = labels[0].rpartition(" · ")[2], CLASSES.index(labels[0].partition(",")[0])
    index = int(name.rpartition("_")[2])
    truth_NHW, prediction_NHW = masks_of(2, 0.6)
    missed = (truth_NHW[index] == label) & (prediction_NHW[index] != label)
    np.testing.assert_array_equal((decoded == rgb(MISSED)).all(axis=2), missed)
    legend = [trace.name for trace in figure.data if trace.type == "scatter"]
    assert legend == [*CLASSES, "ignored", "the class, missed", "taken for it", "other errors"]


def test_named_classes_alone_are_drawn(compared: StudyRecord) -> None:
    figure = draw_extremes(compared, classes=["sand"])
    assert len(figure.layout.images) == 8
    assert "1 of 4 classes, the lowest IoU first; the table has all." in figure.layout.meta["notes"]


def test_every_compared_trial_is_shown_on_the_same_images(compared: StudyRecord) -> None:
    figure = draw_extremes_compared(compared)
    assert [one.text for one in figure.layout.annotations][-5:] == [
        "image", "truth", "error of trial 1", "error of trial 2", "error of trial 0"
    ]  # fmt: skip
    worst = {row["class"]: row for row in extremes_table(compared) if row["which"] == "worst"}
    labels = {one.text for one in figure.layout.annotations if "IoU" in one.text}
    assert labels == {
        f"{name}: IoU {row['IoU, trial 1']:.4f}, {row['IoU, trial 2']:.4f}, {row['IoU, trial 0']:.4f} · {row['image']}"
        for name, row in worst.items()
    }
    assert len(figure.layout.images) == 5 * len(worst)


def test_a_trial_without_these_images_is_not_compared(builder: Builder) -> None:
    write_extremes(complete(builder, 0.7), seed=2, wrong=0.6)
    write_extremes(complete(builder, 0.6), seed=3, wrong=0.7, prefix="other")
    write_extremes(complete(builder, 0.5), seed=4, wrong=0.7, shown=range(1))
    study = builder.read()
    assert [key for key in extremes_table(study)[0] if key.startswith("IoU")] == ["IoU, trial 0", "IoU, trial 2"]
    assert draw_extremes_compared(study).layout.meta["missing"] == ("Trial 0 alone has predictions of these images.")


def test_without_them_the_figure_says_what_makes_them(builder: Builder) -> None:
    assert draw_extremes(builder.read()).layout.meta["missing"] == "No trial has started yet."
    complete(builder, 0.7)
    write_extremes(complete(builder, 0.5), seed=3, wrong=0.7)
    study = builder.read()
    for figure in (draw_extremes(study), draw_extremes_compared(study)):
        assert "trial, 0: `contourney report NAME --worst-images`" in figure.layout.meta["missing"]
    assert extremes_table(study) == []


def test_matrices_without_names_are_none(tmp_path: Path) -> None:
    assert read_image_counts(tmp_path) is None
    np.savez_compressed(tmp_path / COUNTS, counts_NKK=np.zeros((1, 2, 2)), weights="w", data="d")
    assert read_image_counts(tmp_path) is None


def test_errors_are_coloured_by_what_is_wrong() -> None:
    truth = np.array([[1, 1, 0, 0, 2, IGNORE]], dtype=np.uint8)
    prediction = np.array([[1, 0, 1, 0, 0, 1]], dtype=np.uint8)
    picture = Picture("one", np.full((1, 6, 3), 200, dtype=np.uint8), truth, prediction)
    faded, black = (240, 240, 240), (0, 0, 0)
    of_class = error_picture(picture, 1)[0].tolist()
    assert list(map(tuple, of_class)) == [faded, rgb(MISSED), rgb(FALSE), faded, rgb(OTHER), black]
    of_all = error_picture(picture)[0].tolist()
    assert list(map(tuple, of_all)) == [faded, rgb(MISSED), rgb(MISSED), faded, rgb(MISSED), black]


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
