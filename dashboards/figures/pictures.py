"""Image, truth, prediction and error of a few validation images, with one legend."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageDraw

from dashboards.figures.picture_grid import PictureRow, picture_grid
from dashboards.frame import frame, missing, why_no_value
from dashboards.masks import (
    ERRORS,
    IGNORE,
    Picture,
    class_name,
    error_picture,
    legend,
    read_pictures,
    side_by_side,
    thumbnail,
)
from dashboards.outcomes import best_trial, outcome
from dashboards.text import data_words, shown_score
from search.records.study import StudyRecord, TrialRecord

TITLE = "Predictions of the best"
COLUMNS = ("image", "truth", "prediction", "error")
GAP_PX = 6
LEGEND_PX = 22


def pictures_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per picture of the best trial: name, size, share of counted pixels predicted right, classes in truth."""
    names = _class_names(study)
    rows = []
    for picture in _best_pictures(study):
        counted = picture.truth_HW != IGNORE
        right = (picture.prediction_HW == picture.truth_HW)[counted]
        present = np.unique(picture.truth_HW[counted]).tolist()
        rows.append(
            {
                "picture": picture.name,
                "size": "×".join(map(str, picture.truth_HW.shape)),
                "pixels right": float(right.mean()) if right.size else float("nan"),
                "classes in truth": ", ".join(class_name(names, index) for index in present),
            }
        )
    return rows


def draw_pictures(study: StudyRecord) -> go.Figure:
    """A row per picture of the best trial: image, truth, prediction, error; the legend has what occurs."""
    best = best_trial(study)
    if best is None:
        return missing(TITLE, data_words(study), why_no_value(study))
    return draw_trial_pictures(study, best, title=TITLE)


def draw_trial_pictures(study: StudyRecord, trial: TrialRecord, *, title: str = "Predictions") -> go.Figure:
    """The same of any trial, at its best epoch."""
    subtitle = f"trial {trial.number} ({outcome(trial).value.label}), epoch {trial.best_epoch} · "
    subtitle += f"{study.metric} {shown_score(trial.value)} · {data_words(study)}"
    pictures = read_pictures(trial.folder / "pictures.npz")
    if not pictures:
        return missing(title, subtitle, f"The pictures of trial {trial.number} are not here: expected {trial.folder}.")
    return pictures_figure(pictures, _class_names(study), title=title, subtitle=subtitle)


def pictures_figure(
    pictures: Sequence[Picture],
    class_names: Sequence[str],
    *,
    title: str,
    subtitle: str,
    labels: Mapping[str, str] | None = None,
) -> go.Figure:
    """A row per picture: image, truth, prediction, error; `labels` are what stands above a row, by its picture's name.

    The legend has the classes that occur.
    """
    rows = []
    for picture in pictures:
        image, truth, prediction = side_by_side(picture)
        masks = map(thumbnail, (truth, prediction, error_picture(picture)))
        sources = (thumbnail(image, photograph=True), *masks)
        rows.append(PictureRow(sources, image.shape[0] / image.shape[1], (labels or {}).get(picture.name, "")))
    grid = picture_grid(rows, COLUMNS, [*legend(pictures, class_names), *ERRORS])
    names = ", ".join(picture.name for picture in pictures)
    return frame(
        grid.figure,
        title=title,
        subtitle=subtitle,
        alt=f"{len(pictures)} rows of image, truth, prediction and error: {names}.",
        height=grid.height,
        aspect=grid.aspect,
        bottom=grid.bottom,
        top=34,
    )


def save_picture_rows(npz: Path, folder: Path, class_names: Sequence[str]) -> list[Path]:
    """Write each picture of an npz file as one PNG, image, truth and prediction side by side over a legend.

    Returns the paths, named after the pictures' place in the file; creates `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, picture in enumerate(read_pictures(npz)):
        path = folder / f"{index:02d}.png"
        _row_image(picture, class_names).save(path)
        paths.append(path)
    return paths


def _best_pictures(study: StudyRecord) -> list[Picture]:
    best = best_trial(study)
    return [] if best is None else read_pictures(best.folder / "pictures.npz")


def _class_names(study: StudyRecord) -> list[str]:
    return list(study.facts.get("class_names", ()))


def _row_image(picture: Picture, class_names: Sequence[str]) -> Image.Image:
    parts = side_by_side(picture)
    height, width = parts[0].shape[:2]
    total = 3 * width + 2 * GAP_PX
    entries = legend([picture], class_names)
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines: list[list[tuple[int, str, str]]] = [[]]
    x = 0
    for label, colour in entries:
        needed = LEGEND_PX + round(measure.textlength(label)) + 10
        if lines[-1] and x + needed > total:
            lines.append([])
            x = 0
        lines[-1].append((x, label, colour))
        x += needed
    canvas = Image.new("RGB", (total, height + GAP_PX + LEGEND_PX * len(lines)), "white")
    for index, part in enumerate(parts):
        canvas.paste(Image.fromarray(part), (index * (width + GAP_PX), 0))
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        y = height + GAP_PX + row * LEGEND_PX
        for x, label, colour in line:
            draw.rectangle((x, y + 4, x + 12, y + 16), fill=colour, outline="black")
            draw.text((x + 17, y + 4), label, fill="black")
    return canvas
