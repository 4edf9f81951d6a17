"""Learning curves: the metric by epoch, with the way each trial ended at its last point."""

import math
from typing import Any

import plotly.graph_objects as go

from dashboards.frame import caption, epoch_axis, frame, missing
from dashboards.outcomes import Outcome, best_trial, outcome
from dashboards.palette import INK
from dashboards.text import hover, plotly_text, shown_score
from dashboards.thinning import spread_by_rank, thinned_words
from search.records.study import StudyRecord, TrialRecord

TITLE = "Learning curves"
# More lines hide each other, and a browser needs seconds to draw them.
MOST_TRIALS = 400


def curves_table(study: StudyRecord) -> list[dict[str, Any]]:
    """One dict per trial and epoch: trial, state, epoch, value (NaN where undefined)."""
    return [
        {"trial": trial.number, "state": outcome(trial).value.label, "epoch": epoch, "value": value}
        for trial in study.trials
        for epoch, value in trial.values.items()
    ]


def draw_curves(study: StudyRecord) -> go.Figure:
    """One line per trial; its end is marked by the way it ended, the best trial's line is thick."""
    recorded = [trial for trial in study.trials if any(map(math.isfinite, trial.values.values()))]
    trials = spread_by_rank(recorded, lambda trial: max(filter(math.isfinite, trial.values.values())), MOST_TRIALS)
    subtitle = caption(study, trials)
    if not trials:
        return missing(TITLE, subtitle, "No epoch is recorded yet.")
    best = best_trial(study)
    figure = go.Figure()
    for one in Outcome:
        chosen = [trial for trial in trials if outcome(trial) is one]
        if chosen:
            _add_curves(figure, study, one, chosen)
    if best is not None and best.values:
        figure.add_scatter(
            x=list(best.values),
            y=list(best.values.values()),
            mode="lines",
            line={"color": INK, "width": 3},
            name=f"best: trial {best.number}",
            hoverinfo="skip",
        )
    last = max(epoch for trial in trials for epoch in trial.values)
    figure.update_xaxes(title="epoch", **epoch_axis(last))
    figure.update_yaxes(title=plotly_text(study.metric))
    figure.update_layout(hovermode="closest", showlegend=True)
    pruned = sum(trial.state == "PRUNED" for trial in trials)
    best_words = f" The best is trial {best.number} with {shown_score(best.value)}." if best is not None else ""
    return frame(
        figure,
        title=TITLE,
        subtitle=subtitle,
        notes=thinned_words(len(trials), len(recorded)),
        alt=f"{study.metric} by epoch of {len(trials)} trials, {pruned} of which ended early.{best_words}",
        height=430,
        top=44,
    )


def _add_curves(figure: go.Figure, study: StudyRecord, one: Outcome, trials: list[TrialRecord]) -> None:
    """All curves of one outcome as one trace with gaps, and their ends as another; one legend entry hides both."""
    mark = one.value
    points = [(trial, epoch, value) for trial in trials for epoch, value in [*trial.values.items(), (None, None)]]
    figure.add_scatter(
        x=[epoch for _, epoch, _ in points],
        y=[value if value is not None and math.isfinite(value) else None for _, _, value in points],
        mode="lines",
        connectgaps=False,
        line={"color": mark.colour, "width": 1.3},
        opacity=0.75,
        legendgroup=mark.label,
        showlegend=False,
        name=mark.label,
        hoverinfo="text",
        hovertext=["" if epoch is None else _words(study, trial, epoch, value) for trial, epoch, value in points],
    )
    ends = [(trial, max(epoch for epoch, value in trial.values.items() if math.isfinite(value))) for trial in trials]
    figure.add_scatter(
        x=[epoch for _, epoch in ends],
        y=[trial.values[epoch] for trial, epoch in ends],
        mode="markers",
        marker=mark.marker(9),
        legendgroup=mark.label,
        name=mark.label,
        hoverinfo="text",
        hovertext=[_words(study, trial, epoch, trial.values[epoch]) for trial, epoch in ends],
    )


def _words(study: StudyRecord, trial: TrialRecord, epoch: int, value: float | None) -> str:
    return hover(study, trial.number, value, f"epoch {epoch}", outcome(trial).value.label)
