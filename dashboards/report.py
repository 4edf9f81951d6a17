"""A study as one HTML page that opens offline: every figure with its words and its table."""

from collections.abc import Callable
from pathlib import Path

import plotly.graph_objects as go

from dashboards.figures.best import best_table
from dashboards.figures.class_curves import class_curves_table, draw_class_curves
from dashboards.figures.class_difference import class_difference_table, draw_class_difference
from dashboards.figures.class_iou import class_iou_table, draw_class_iou
from dashboards.figures.confusion import confusion_table, draw_confusion
from dashboards.figures.contour import contour_table, draw_contour
from dashboards.figures.cost import cost_table, draw_cost
from dashboards.figures.curves import curves_table, draw_curves
from dashboards.figures.expected_best import draw_expected_best, expected_best_table
from dashboards.figures.extremes import draw_extremes, extremes_table
from dashboards.figures.extremes_compared import draw_extremes_compared
from dashboards.figures.finalists import draw_finalists, finalists_table
from dashboards.figures.history import draw_history, history_table
from dashboards.figures.importance import draw_importance, importance_table
from dashboards.figures.importance_classes import draw_importance_classes, importance_classes_table
from dashboards.figures.importance_methods import draw_importance_methods, importance_methods_table
from dashboards.figures.interactions import draw_interactions, interactions_table
from dashboards.figures.losses import draw_losses, losses_table
from dashboards.figures.parallel import draw_parallel, parallel_table
from dashboards.figures.pictures import draw_pictures, pictures_table
from dashboards.figures.promoted_pictures import draw_promoted_pictures, promoted_pictures_table
from dashboards.figures.promotion import draw_promotion, promotion_table
from dashboards.figures.pruning import draw_pruning, pruning_table
from dashboards.figures.slice import draw_slice, slice_table
from dashboards.figures.timeline import draw_timeline, timeline_table
from dashboards.frame import caption, why_no_value
from dashboards.outcomes import Outcome, outcome, ranked
from dashboards.palette import DARK
from dashboards.panel import Table, panel, render_page, replace_file
from dashboards.parameters import parameter_axes
from dashboards.summary import data_table, failure_table, headline_table, leak_words, state_table
from search.records.study import StudyRecord

FIGURES: dict[str, tuple[Callable[[StudyRecord], go.Figure], Callable[[StudyRecord], Table]]] = {
    "promotion": (draw_promotion, promotion_table),
    "confusion": (draw_confusion, confusion_table),
    "promoted-pictures": (draw_promoted_pictures, promoted_pictures_table),
    "finalists": (draw_finalists, finalists_table),
    "history": (draw_history, history_table),
    "expected-best": (draw_expected_best, expected_best_table),
    "importance": (draw_importance, importance_table),
    "importance-methods": (draw_importance_methods, importance_methods_table),
    "importance-classes": (draw_importance_classes, importance_classes_table),
    "interactions": (draw_interactions, interactions_table),
    "contour": (draw_contour, contour_table),
    "parallel": (draw_parallel, parallel_table),
    "curves": (draw_curves, curves_table),
    "losses": (draw_losses, losses_table),
    "class-iou": (draw_class_iou, class_iou_table),
    "class-difference": (draw_class_difference, class_difference_table),
    "class-curves": (draw_class_curves, class_curves_table),
    "cost": (draw_cost, cost_table),
    "pruning": (draw_pruning, pruning_table),
    "timeline": (draw_timeline, timeline_table),
    "pictures": (draw_pictures, pictures_table),
    "extremes": (draw_extremes, extremes_table),
    "extremes-compared": (draw_extremes_compared, extremes_table),
}


def write_report(study: StudyRecord, output: Path) -> None:
    """Write the report, replacing what is there in one step; raises ReportError if it cannot be written."""
    replace_file(output, render_report(study))


def study_figures(study: StudyRecord) -> dict[str, go.Figure]:
    """Every figure of the report by its name, slices as `slice-PATH`."""
    slices = {f"slice-{path}": draw_slice(study, path) for path in parameter_axes(study)}
    return {key: draw(study) for key, (draw, _) in FIGURES.items()} | slices


def render_report(study: StudyRecord) -> str:
    """The page as HTML."""
    panels = {key: panel(key, draw(study), table(study)) for key, (draw, table) in FIGURES.items()}
    slices = [
        panel(f"slice-{index}", draw_slice(study, path, legend=False), slice_table(study, path))
        for index, path in enumerate(parameter_axes(study))
    ]
    with_value = [trial for trial in study.trials if trial.value is not None]
    return render_page(
        "report.html.j2",
        {
            "study": study,
            "headline": headline_table(study),
            "leak": leak_words(study),
            "states": state_table(study),
            "data": data_table(study),
            "failures": failure_table(study),
            "best": best_table(study),
            "best_caption": caption(study, ranked(study)),
            "no_best": why_no_value(study),
            "panels": panels,
            "slices": slices,
            "slices_caption": caption(study, with_value),
            "marks": [(one.value, DARK[one.value.colour]) for one in Outcome if one in map(outcome, with_value)],
        },
    )
