"""The worst and the best validation image of each class: image, truth, and what the best trial made of it."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from dashboards.extremes import Extreme, Judged, judged_trials
from dashboards.figures.picture_grid import PictureRow, picture_grid
from dashboards.frame import frame, missing, why_no_value
from dashboards.masks import ERRORS_OF_A_CLASS, class_name, error_picture, legend, side_by_side, thumbnail
from dashboards.outcomes import best_trial
from dashboards.text import data_words, shown_score
from search.records.study import StudyRecord

TITLE = "Worst and best images of each class"
COLUMNS = ("image", "truth", "prediction", "error")
# Rows of pictures are high: the table has all classes.
MOST_CLASSES = 6
MIN_WIDTH_PX = 640
TOP_PX = 46
JUDGED = (
    "A class is judged in images of which it has 0.1 % of the pixels; of images of equal IoU, the one with more of it."
)


def extremes_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per class and extreme image of the best trial: class, which, image, the number of images in which the
    class was judged, then its IoU in that image with each compared trial.

    Empty where the best trial has no matrices per image.
    """
    judged, extremes = judged_trials(study)
    return [
        {
            "class": name_of(study, one),
            "which": one.which,
            "image": judged[0].counts.names[one.image],
            "images judged": one.images,
            **{f"IoU, trial {each.trial.number}": float(each.iou_NK[one.image, one.label]) for each in judged},
        }
        for one in extremes
    ]


def draw_extremes(study: StudyRecord, *, classes: Sequence[str] | None = None) -> go.Figure:
    """Two rows per class, its worst and its best image: image, truth, prediction and error of the best trial.

    Drawn are the named `classes`, by default the six of lowest IoU.
    """
    judged, extremes = judged_trials(study)
    if not judged or not judged[0].pictures:
        return missing(TITLE, data_words(study), why_none(study))
    best, drawn = judged[0], of_classes(study, judged[0], extremes, classes)
    pictures = [best.pictures[best.counts.names[one.image]] for one in drawn]
    rows = []
    for one, picture in zip(drawn, pictures, strict=True):
        image, truth, prediction = side_by_side(picture)
        masks = map(thumbnail, (truth, prediction, error_picture(picture, one.label)))
        label = f"{name_of(study, one)}, {one.which}: IoU {shown_score(one.iou)} · {picture.name}"
        rows.append(PictureRow((thumbnail(image, photograph=True), *masks), image.shape[0] / image.shape[1], label))
    grid = picture_grid(rows, COLUMNS, [*legend(pictures, _names(study)), *ERRORS_OF_A_CLASS])
    return frame(
        grid.figure,
        title=TITLE,
        subtitle=f"trial {best.trial.number}, epoch {best.trial.best_epoch} · IoU of the class within one image · "
        f"{data_words(study)}",
        notes=[JUDGED, *_left_out(drawn, extremes)],
        alt=f"{len(rows)} rows of image, truth, prediction and error: {'; '.join(row.label for row in rows)}.",
        height=grid.height,
        aspect=grid.aspect,
        bottom=grid.bottom,
        top=TOP_PX,
        min_width=MIN_WIDTH_PX,
    )


def why_none(study: StudyRecord) -> str:
    """What is to be done for these pictures."""
    best = best_trial(study)
    if best is None:
        return why_no_value(study)
    return (
        f"Not made for the best trial, {best.number}: `contourney report NAME --worst-images` finds and predicts them."
    )


def of_classes(
    study: StudyRecord, best: Judged, extremes: Sequence[Extreme], classes: Sequence[str] | None
) -> list[Extreme]:
    """Those of the named classes, by default of the six whose IoU over the whole split is lowest, the lowest first."""
    counts_KK = best.counts.counts_NKK.sum(axis=0)
    right_K = counts_KK.diagonal()
    iou_K = right_K / (counts_KK.sum(axis=0) + counts_KK.sum(axis=1) - right_K).clip(1)
    by_iou = sorted(extremes, key=lambda one: (iou_K[one.label], one.label))
    if classes is not None:
        return [one for one in by_iou if name_of(study, one) in classes]
    lowest = list(dict.fromkeys(one.label for one in by_iou))[:MOST_CLASSES]
    return [one for one in by_iou if one.label in lowest]


def name_of(study: StudyRecord, one: Extreme) -> str:
    """The name of the class."""
    return class_name(_names(study), one.label)


def _left_out(drawn: Sequence[Extreme], extremes: Sequence[Extreme]) -> list[str]:
    shown, all_ = {one.label for one in drawn}, {one.label for one in extremes}
    return [f"{len(shown)} of {len(all_)} classes, the lowest IoU first; the table has all."] if shown != all_ else []


def _names(study: StudyRecord) -> list[str]:
    return list(study.facts.get("class_names", ()))
