"""The worst image of each class, the same one for all trials that are compared: what each has wrong in it."""

from collections.abc import Sequence

import plotly.graph_objects as go

from dashboards.extremes import judged_trials
from dashboards.figures.extremes import JUDGED, MIN_WIDTH_PX, TOP_PX, name_of, of_classes, why_none
from dashboards.figures.picture_grid import PictureRow, picture_grid
from dashboards.frame import frame, missing
from dashboards.masks import ERRORS_OF_A_CLASS, error_picture, legend, side_by_side, thumbnail
from dashboards.text import data_words, shown_score
from search.records.study import StudyRecord

TITLE = "Worst images, trial by trial"


def draw_extremes_compared(study: StudyRecord, *, classes: Sequence[str] | None = None) -> go.Figure:
    """A row per class, the best trial's worst image of it: image, truth, and the errors of each compared trial.

    Drawn are the named `classes`, by default the six of lowest IoU.
    """
    judged, extremes = judged_trials(study)
    if not judged or not judged[0].pictures:
        return missing(TITLE, data_words(study), why_none(study))
    shown = [each for each in judged if each.pictures]
    best = shown[0]
    if len(shown) < 2:
        return missing(TITLE, data_words(study), f"Trial {best.trial.number} alone has predictions of these images.")
    drawn = [one for one in of_classes(study, best, extremes, classes) if one.which != "best"]
    rows = []
    for one in drawn:
        name = best.counts.names[one.image]
        image, truth, _ = side_by_side(best.pictures[name])
        errors = [thumbnail(error_picture(each.pictures[name], one.label)) for each in shown]
        ious = ", ".join(shown_score(float(each.iou_NK[one.image, one.label])) for each in shown)
        sources = (thumbnail(image, photograph=True), thumbnail(truth), *errors)
        rows.append(PictureRow(sources, image.shape[0] / image.shape[1], f"{name_of(study, one)}: IoU {ious} · {name}"))
    columns = ("image", "truth", *(f"error of trial {each.trial.number}" for each in shown))
    pictures = [best.pictures[best.counts.names[one.image]] for one in drawn]
    grid = picture_grid(rows, columns, [*legend(pictures, study.facts.get("class_names", ())), *ERRORS_OF_A_CLASS])
    trials = ", ".join(str(each.trial.number) for each in shown)
    return frame(
        grid.figure,
        title=TITLE,
        subtitle=f"trials {trials}, each at its best epoch · IoU of the class within one image · {data_words(study)}",
        notes=[f"The images are those that trial {best.trial.number} does worst on.", JUDGED],
        alt=f"{len(rows)} rows of image, truth and errors of the trials {trials}: "
        f"{'; '.join(row.label for row in rows)}.",
        height=grid.height,
        aspect=grid.aspect,
        bottom=grid.bottom,
        top=TOP_PX,
        min_width=MIN_WIDTH_PX,
    )
