"""Image, truth, prediction and error of a few test images, the worst among them, of what was promoted."""

from typing import Any

import plotly.graph_objects as go

from dashboards.figures.pictures import pictures_figure
from dashboards.figures.promotion import promotion_words
from dashboards.frame import missing
from dashboards.masks import Picture, read_pictures
from dashboards.text import shown_score
from search.records.study import StudyRecord

TITLE = "Predictions on the test split"
# Of the folder of the trial that the record of the promotion names.
FILE = "test_pictures.npz"


def promoted_pictures_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per picture: name, size, its mIoU where it is one of the worst, and which place it has among them."""
    worst = _worst(study)
    return [
        {
            "picture": picture.name,
            "size": "×".join(map(str, picture.truth_HW.shape)),
            "mIoU": shown_score(worst[picture.name]) if picture.name in worst else "–",
            "chosen": f"worst {[*worst].index(picture.name) + 1}" if picture.name in worst else "evenly",
        }
        for picture in promoted_pictures(study)
    ]


def draw_promoted_pictures(study: StudyRecord) -> go.Figure:
    """A row per picture, each with its name and, of the worst, its mIoU."""
    pictures = promoted_pictures(study)
    if not pictures:
        return missing(TITLE, study.metric, "No picture of the test split is kept here.")
    labels = {row["picture"]: _label(row) for row in promoted_pictures_table(study)}
    names, words = list(study.facts["promotion"]["test"]["iou"]), promotion_words(study)
    return pictures_figure(pictures, names, title=TITLE, subtitle=words, labels=labels)


def promoted_pictures(study: StudyRecord) -> list[Picture]:
    """The pictures that are kept of the evaluation on the test split."""
    record = study.facts.get("promotion")
    trials = {trial.number: trial for trial in study.trials}
    return (
        [] if record is None or record["trial"] not in trials else read_pictures(trials[record["trial"]].folder / FILE)
    )


def _worst(study: StudyRecord) -> dict[str, float]:
    """Names of the worst test images with their mIoU, worst first."""
    return {one["image"]: one["miou"] for one in study.facts.get("promotion", {}).get("test", {}).get("worst", ())}


def _label(row: dict[str, Any]) -> str:
    return row["picture"] if row["mIoU"] == "–" else f"{row['picture']}: {row['chosen']}, mIoU {row['mIoU']}"
