"""What a promotion's record holds beyond two numbers: confusion, intervals, finalists."""

import copy
import re
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from dashboards.figures.confusion import confusion_table, draw_confusion
from dashboards.figures.finalists import draw_finalists, finalists_table
from dashboards.figures.promoted_pictures import draw_promoted_pictures, promoted_pictures_table
from dashboards.figures.promotion import draw_promotion, promotion_table
from search.records.study import StudyRecord
from tests.dashboards.studies import CLASSES, PROMOTION, Builder, write_pictures

MATRIX = [[90, 10, 0, 0, 0], [5, 95, 0, 0, 0], [0, 30, 70, 0, 0], [0, 0, 0, 50, 0], [0, 0, 0, 0, 0]]
CHOICE: dict[str, Any] = {
    "seeds": 3, "kind": "screen", "images": 32, "resampling": "groups", "optimism": 0.02, "seed_sd": 0.01, "winner": 4,
    "finalists": [
        {"trial": 1, "value": 0.66, "mean": 0.64, "sd": 0.01, "interval": [0.6, 0.68]},
        {"trial": 4, "value": 0.65, "mean": 0.65, "sd": 0.01, "interval": [0.61, 0.69], "device_s": 61.0},
        {"trial": 7, "value": 0.64, "left_out": "diverged"},
    ],
}  # fmt: skip


@pytest.fixture
def promoted(builder: Builder) -> StudyRecord:
    record = copy.deepcopy(PROMOTION)
    record["choice"] = CHOICE
    record["test"] |= {
        "confusion": MATRIX,
        "interval": [0.55, 0.66],
        "iou_interval": {name: None if name == "big rock" else [0.5, 0.9] for name in CLASSES},
        "images_with": {"background": 40, "soil": 40, "bedrock": 30, "sand": 12, "big rock": 0},
        "unreliable": ["sand"],
        "resampling": {"words": "bootstrap of 12 groups"},
    }
    for number in range(8):
        known = {"latency_ms": 10.0 + number, "latency_device": "other" if number == 1 else "gpu"}
        builder.trial([0.5], TrialState.COMPLETE, "finished", trainable_parameters=1_940_000, **known)
    builder.study.set_user_attr("promotion", record)
    return builder.read()


def test_rows_of_the_confusion_are_shares_of_the_target(promoted: StudyRecord) -> None:
    rows = confusion_table(promoted)
    assert [(row["target"], row["prediction"], row["pixels"]) for row in rows[:2]] == [
        ("background", "background", 90),
        ("background", "soil", 10),
    ]
    assert sum(row["pixels"] for row in rows) == np.sum(MATRIX)
    figure = draw_confusion(promoted)
    z = np.array(figure.data[0].z, dtype=float)
    np.testing.assert_allclose(z[:4].sum(axis=1), 1.0)
    assert np.isnan(z[4]).all()
    notes = figure.layout.meta["notes"]
    assert "Most pixels: bedrock taken for soil (30); largest share: 30% of bedrock for soil." in notes
    assert "Without a pixel in this split: big rock." in notes
    assert "test split (40 images)" in figure.layout.meta["subtitle"]


def test_an_older_record_has_no_matrix_and_no_intervals(builder: Builder) -> None:
    builder.study.set_user_attr("promotion", PROMOTION)
    study = builder.read()
    assert confusion_table(study) == []
    assert draw_confusion(study).layout.meta["missing"] == "This promotion's record has no confusion matrix."
    assert draw_promotion(study).data[1].error_x.array is None
    assert draw_finalists(study).layout.meta["missing"]


def test_intervals_of_the_test_figures_are_whiskers_and_unreliable_ones_are_named(promoted: StudyRecord) -> None:
    rows = promotion_table(promoted)
    assert (rows[0]["95 % from"], rows[0]["95 % to"], rows[0]["test images"]) == (0.55, 0.66, 40)
    assert (rows[1]["95 % from"], rows[-1]["95 % to"], rows[-1]["test images"]) == (None, None, 0)
    figure = draw_promotion(promoted)
    tested = next(trace for trace in figure.data if trace.name == "test")
    # Rows go from bottom to top: the metric is the last.
    assert tested.error_x.array[-1] == pytest.approx(0.66 - 0.6012)
    assert tested.error_x.arrayminus[-1] == pytest.approx(0.6012 - 0.55)
    assert figure.layout.meta["notes"] == [
        "Whiskers: 95 % intervals, bootstrap of 12 groups.",
        "Warning: in too few test images for an interval to be relied on: sand.",
    ]


def test_finalists_by_their_means_beside_what_the_search_said(promoted: StudyRecord) -> None:
    rows = finalists_table(promoted)
    assert [(row["trial"], row["promoted"]) for row in rows] == [(4, True), (1, False)]
    figure = draw_finalists(promoted)
    assert [(row["device seconds"], row["parameters"], row["latency, ms"]) for row in rows] == [
        (61.0, 1_940_000, 14.0), (None, 1_940_000, None)
    ]  # fmt: skip
    assert [re.sub("<span[^>]*>|</span>", "", text) for text in figure.layout.yaxis.ticktext] == [
        "trial 1<br>1.94 M",
        "trial 4 (promoted)<br>1 min 1 s · 1.94 M · 14 ms",
    ]
    assert list(figure.data[0].error_x.array) == pytest.approx([0.04, 0.04])
    assert list(figure.data[1].x) == [0.66, 0.65]
    assert "a screen" in figure.layout.meta["subtitle"]
    assert "Left out: trials 7." in figure.layout.meta["notes"]


def test_test_pictures_tell_which_are_the_worst(promoted: StudyRecord) -> None:
    assert draw_promoted_pictures(promoted).layout.meta["missing"] == "No picture of the test split is kept here."
    record = promoted.facts["promotion"]
    folder = next(trial.folder for trial in promoted.trials if trial.number == record["trial"])
    write_pictures(folder)
    (folder / "pictures.npz").rename(folder / "test_pictures.npz")
    record["test"]["worst"] = [{"image": "frame_3", "miou": 0.123456}, {"image": "frame_1", "miou": 0.2}]
    assert [(row["picture"], row["mIoU"], row["chosen"]) for row in promoted_pictures_table(promoted)] == [
        ("frame_0", "–", "evenly"), ("frame_1", "0.2000", "worst 2"),
        ("frame_2", "–", "evenly"), ("frame_3", "0.1235", "worst 1"),
    ]  # fmt: skip
    figure = draw_promoted_pictures(promoted)
    labels = [note.text for note in figure.layout.annotations]
    assert {"frame_0", "frame_1: worst 2, mIoU 0.2000", "frame_3: worst 1, mIoU 0.1235"} <= set(labels)
    assert "test split (40 images), opening" in figure.layout.meta["subtitle"]
