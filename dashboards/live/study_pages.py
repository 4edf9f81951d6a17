"""The pages of all studies and of one."""

import hashlib

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dashboards.figures.best import best_table
from dashboards.frame import caption, why_no_value
from dashboards.live.drawing import Drawings, figures_of
from dashboards.live.overview import SORTS, elsewhere_words, live_state, study_row, trials_page
from dashboards.live.site import Page, Site, first_words, json_response, number_in, study_key
from dashboards.live.trial_pages import MOST_COMPARED
from dashboards.outcomes import ranked
from dashboards.panel import TABLE_ROWS
from dashboards.summary import data_table, failure_table, headline_table, leak_words, state_table
from search.records.study import RecordError


class StudyPages:
    """All studies; one study with its figures, their tables, and its trials."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._drawings = Drawings()
        study = "/study/{study}"
        self.pages: dict[str, Page] = {
            "/": self._studies,
            "/changes": self._all_changes,
            study: self._study,
            f"{study}/changes": self._changes,
            f"{study}/figure/{{figure}}": self._figure,
            f"{study}/table/{{figure}}": self._table,
            f"{study}/trials": self._trials,
        }

    def _studies(self, request: Request) -> Response:
        rows = []
        for name in self._site.records.names():
            try:
                row = study_row(self._site.records.read(name))
            except RecordError as error:
                row = {"error": str(error)}
            rows.append({"name": name, "key": study_key(name), **row})
        rows.sort(key=lambda row: (row.get("state") != "running", row["name"]))
        return self._site.page("studies", {"rows": rows})

    def _all_changes(self, request: Request) -> Response:
        revisions = []
        for name in self._site.records.names():
            try:
                revisions.append(self._site.records.read(name).revision)
            except RecordError:
                revisions.append(name)
        return JSONResponse({"revision": hashlib.sha256("|".join(revisions).encode()).hexdigest()[:16]})

    def _study(self, request: Request) -> Response:
        snapshot = self._site.snapshot(request)
        study = snapshot.study
        state, words = live_state(snapshot)
        return self._site.page(
            "study",
            {
                "state": state,
                "state_words": words,
                "headline": headline_table(study),
                "leak": leak_words(study),
                "elsewhere": elsewhere_words(study),
                "failures": failure_table(study),
                "best": best_table(study),
                "best_caption": caption(study, ranked(study)),
                "no_best": why_no_value(study),
                "states": state_table(study),
                "data": data_table(study),
                "figures": [(key, first_words(key)) for key in figures_of(study)],
                "promoted": "promotion" in study.facts,
            },
            snapshot,
        )

    def _changes(self, request: Request) -> Response:
        return JSONResponse({"revision": self._site.snapshot(request).revision})

    def _figure(self, request: Request) -> Response:
        try:
            return json_response(self._drawings.figure(self._site.snapshot(request), request.path_params["figure"]))
        except KeyError as error:
            raise HTTPException(404, f"no figure {error}") from error

    def _table(self, request: Request) -> Response:
        snapshot = self._site.snapshot(request)
        key = request.path_params["figure"]
        found = figures_of(snapshot.study).get(key)
        if found is None:
            raise HTTPException(404, f"no figure {key!r}")
        table = found[1](snapshot.study)
        left_out = max(0, len(table) - TABLE_ROWS)
        values = {"title": first_words(key), "rows": table[:TABLE_ROWS], "left_out": left_out}
        return self._site.page("table", values, snapshot)

    def _trials(self, request: Request) -> Response:
        snapshot = self._site.snapshot(request)
        sort = request.query_params.get("sort", "newest")
        if sort not in SORTS:
            raise HTTPException(400, f"sort: expected one of {', '.join(SORTS)}")
        page = number_in(request.query_params.get("page", "1"), "page")
        rows, pages = trials_page(snapshot.study, sort, page)
        values = {"rows": rows, "sort": sort, "sorts": list(SORTS), "page": page, "pages": pages, "most": MOST_COMPARED}
        return self._site.page("trials", values, snapshot)
