"""The pages of a promotion's record."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dashboards.live.drawing import figure_json, promotion_figures
from dashboards.live.overview import mlflow_link
from dashboards.live.promoted import choice_facts, evaluation_table, finalist_table, pair_table, whole_record
from dashboards.live.site import Page, Site, first_words, json_response
from dashboards.outcomes import best_trial


class PromotionPages:
    """The record, and its figures."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.pages: dict[str, Page] = {
            "/study/{study}/promotion": self._promotion,
            "/study/{study}/promotion/figure/{figure}": self._figure,
        }

    def _promotion(self, request: Request) -> Response:
        snapshot = self._site.snapshot(request)
        study = snapshot.study
        run_id = study.facts.get("promotion", {}).get("mlflow_run_id")
        values = {
            "figures": [(key, first_words(key)) for key in promotion_figures(study)],
            "evaluation": evaluation_table(study),
            "finalists": finalist_table(study),
            "pairs": pair_table(study),
            "facts": choice_facts(study),
            "record": whole_record(study),
            "best": best_trial(study),
            "run_id": run_id,
            "run_link": mlflow_link(self._site.tracking, run_id),
        }
        return self._site.page("promotion", values, snapshot)

    def _figure(self, request: Request) -> Response:
        study, key = self._site.snapshot(request).study, request.path_params["figure"]
        draw = promotion_figures(study).get(key)
        if draw is None:
            raise HTTPException(404, f"no figure {key!r}")
        return json_response(figure_json(key, draw(study)))
