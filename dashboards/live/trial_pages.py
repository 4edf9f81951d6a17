"""The pages of one trial, and of chosen ones side by side."""

from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dashboards.figures.class_difference import draw_class_difference
from dashboards.figures.curves import draw_curves
from dashboards.live import logs, one_trial, trial_figures
from dashboards.live.drawing import figure_json
from dashboards.live.overview import compared_classes, compared_results, compared_settings, mlflow_link
from dashboards.live.site import Page, Site, first_words, json_response, number_in, trial_of
from dashboards.outcomes import outcome
from search.records.live import Snapshot
from search.records.study import TrialRecord

MOST_COMPARED = 8


class TrialPages:
    """One trial with its figures, and a comparison of several."""

    def __init__(self, site: Site) -> None:
        self._site = site
        study, trial = "/study/{study}", "/study/{study}/trial/{trial:int}"
        self.pages: dict[str, Page] = {
            trial: self._trial,
            f"{trial}/figure/{{figure}}": self._trial_figure,
            f"{study}/compare": self._compare,
            f"{study}/compare/figure/{{figure}}": self._compare_figure,
        }

    def _trial(self, request: Request) -> Response:
        snapshot, trial = self._chosen(request)
        study, run_id = snapshot.study, trial.attrs.get("mlflow_run_id")
        missing = self._site.fetch(study.name, trial.number, uri) if (uri := study.facts.get("storage")) else None
        return self._site.page(
            "trial",
            {
                "trial": trial,
                "outcome": outcome(trial).value,
                "headline": one_trial.trial_headline(study, trial),
                "settings": one_trial.settings_table(study, trial),
                "epochs": one_trial.trial_curves_table(trial),
                "missing": missing,
                "logs": logs.log_tails(trial),
                "no_log": logs.no_log_words(trial),
                "error": trial.attrs.get("error"),
                "run_id": run_id,
                "run_link": mlflow_link(self._site.tracking, run_id),
                "figures": [(key, first_words(key)) for key in trial_figures.FIGURES],
                "before": trial.number - 1 if trial.number > 0 else None,
                "after": trial.number + 1 if trial.number + 1 < len(study.trials) else None,
            },
            snapshot,
        )

    def _trial_figure(self, request: Request) -> Response:
        snapshot, trial = self._chosen(request)
        key = request.path_params["figure"]
        if key not in trial_figures.FIGURES:
            raise HTTPException(404, f"no figure {key!r}")
        return json_response(figure_json(key, trial_figures.draw_trial(snapshot.study, trial, key)))

    def _compare(self, request: Request) -> Response:
        snapshot, trials = self._several(request)
        study = snapshot.study
        return self._site.page(
            "compare",
            {
                "trials": trials,
                "query": "&".join(f"trial={trial.number}" for trial in trials),
                "results": compared_results(study, trials),
                "settings": compared_settings(trials),
                "classes": compared_classes(study, trials),
            },
            snapshot,
        )

    def _compare_figure(self, request: Request) -> Response:
        snapshot, trials = self._several(request)
        key, numbers = request.path_params["figure"], [trial.number for trial in trials]
        if key == "curves":
            return json_response(figure_json(key, draw_curves(replace(snapshot.study, trials=tuple(trials)))))
        if key == "classes" and len(numbers) == 2:
            return json_response(figure_json(key, draw_class_difference(snapshot.study, *numbers)))
        raise HTTPException(404, f"no figure {key!r} of {len(numbers)} trials")

    def _chosen(self, request: Request) -> tuple[Snapshot, TrialRecord]:
        snapshot = self._site.snapshot(request)
        return snapshot, trial_of(snapshot.study, request.path_params["trial"])

    def _several(self, request: Request) -> tuple[Snapshot, list[TrialRecord]]:
        snapshot = self._site.snapshot(request)
        asked = request.query_params.getlist("trial")
        numbers = dict.fromkeys(number_in(one, "trial") for text in asked for one in text.replace(",", " ").split())
        if not 2 <= len(numbers) <= MOST_COMPARED:
            raise HTTPException(400, f"choose 2 to {MOST_COMPARED} trials to compare; {len(numbers)} were chosen")
        return snapshot, [trial_of(snapshot.study, number) for number in numbers]
