"""The live pages: what each address answers."""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs, get_plotlyjs_version
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dashboards.figures.best import best_table
from dashboards.figures.class_difference import draw_class_difference
from dashboards.figures.curves import draw_curves
from dashboards.frame import caption, why_no_value
from dashboards.live import one_trial
from dashboards.live.drawing import Drawings, figure_json, figures_of, promotion_figures
from dashboards.live.overview import (
    SORTS,
    compared_classes,
    compared_results,
    compared_settings,
    mlflow_link,
    study_row,
    trials_page,
)
from dashboards.live.promoted import choice_facts, evaluation_table, finalist_table, pair_table, whole_record
from dashboards.outcomes import best_trial, outcome, ranked
from dashboards.palette import DARK
from dashboards.panel import ASSETS, TABLE_ROWS, environment
from dashboards.summary import data_table, failure_table, headline_table, leak_words, state_table
from search.records.live import LiveRecords, Snapshot
from search.records.study import RecordError, StudyRecord, TrialRecord

HERE = Path(__file__).with_name("page")
MOST_COMPARED = 8
FOREVER = "private, max-age=31536000, immutable"


class Pages:
    """The pages of one storage's studies; `tracking` is MLflow's address."""

    def __init__(self, records: LiveRecords, tracking: str) -> None:
        self._records = records
        self._tracking = tracking
        self._drawings = Drawings()
        self._templates = environment([HERE])
        self._templates.globals["plotly_version"] = get_plotlyjs_version()
        self._templates.globals["dark"] = Markup(json.dumps(DARK))
        self._keys: dict[str, str] = {}
        study, trial = "/study/{study}", "/study/{study}/trial/{trial:int}"
        pages: dict[str, Callable[[Request], Response]] = {
            "/": self._studies,
            "/changes": self._all_changes,
            "/assets/{asset}": _asset,
            study: self._study,
            f"{study}/changes": self._changes,
            f"{study}/figure/{{figure}}": self._figure,
            f"{study}/table/{{figure}}": self._table,
            f"{study}/trials": self._trials,
            f"{study}/compare": self._compare,
            f"{study}/compare/figure/{{figure}}": self._compare_figure,
            f"{study}/promotion": self._promotion,
            f"{study}/promotion/figure/{{figure}}": self._promotion_figure,
            trial: self._trial,
            f"{trial}/figure/{{figure}}": self._trial_figure,
        }
        self.app = Starlette(
            routes=[Route(path, _answering(page), methods=["GET"]) for path, page in pages.items()],
            middleware=[Middleware(GZipMiddleware, minimum_size=1000, compresslevel=3)],
            exception_handlers={
                HTTPException: self._refused,
                RecordError: self._unreadable,
                500: self._failed,
            },
        )

    def _studies(self, request: Request) -> Response:
        rows = []
        for name in self._records.names():
            try:
                row = study_row(self._records.read(name).study)
            except RecordError as error:
                row = {"error": str(error)}
            rows.append({"name": name, "key": study_key(name), **row})
        rows.sort(key=lambda row: (row.get("state") != "running", row["name"]))
        return self._page("studies", {"rows": rows})

    def _all_changes(self, request: Request) -> Response:
        revisions = []
        for name in self._records.names():
            try:
                revisions.append(self._records.read(name).revision)
            except RecordError:
                revisions.append(name)
        return JSONResponse({"revision": hashlib.sha256("|".join(revisions).encode()).hexdigest()[:16]})

    def _study(self, request: Request) -> Response:
        snapshot = self._snapshot(request)
        study = snapshot.study
        return self._page(
            "study",
            {
                "headline": headline_table(study),
                "leak": leak_words(study),
                "failures": failure_table(study),
                "best": best_table(study),
                "best_caption": caption(study, ranked(study)),
                "no_best": why_no_value(study),
                "states": state_table(study),
                "data": data_table(study),
                "figures": [(key, _words(key)) for key in figures_of(study)],
                "promoted": "promotion" in study.facts,
            },
            snapshot,
        )

    def _changes(self, request: Request) -> Response:
        return JSONResponse({"revision": self._snapshot(request).revision})

    def _figure(self, request: Request) -> Response:
        try:
            return _json(self._drawings.figure(self._snapshot(request), request.path_params["figure"]))
        except KeyError as error:
            raise HTTPException(404, f"no figure {error}") from error

    def _table(self, request: Request) -> Response:
        snapshot = self._snapshot(request)
        key = request.path_params["figure"]
        found = figures_of(snapshot.study).get(key)
        if found is None:
            raise HTTPException(404, f"no figure {key!r}")
        table = found[1](snapshot.study)
        left_out = max(0, len(table) - TABLE_ROWS)
        values = {"title": _words(key), "rows": table[:TABLE_ROWS], "left_out": left_out}
        return self._page("table", values, snapshot)

    def _trials(self, request: Request) -> Response:
        snapshot = self._snapshot(request)
        sort = request.query_params.get("sort", "newest")
        if sort not in SORTS:
            raise HTTPException(400, f"sort: expected one of {', '.join(SORTS)}")
        page = _number(request.query_params.get("page", "1"), "page")
        rows, pages = trials_page(snapshot.study, sort, page)
        values = {"rows": rows, "sort": sort, "sorts": list(SORTS), "page": page, "pages": pages, "most": MOST_COMPARED}
        return self._page("trials", values, snapshot)

    def _trial(self, request: Request) -> Response:
        snapshot, trial = self._chosen(request)
        study, run_id = snapshot.study, trial.attrs.get("mlflow_run_id")
        return self._page(
            "trial",
            {
                "trial": trial,
                "outcome": outcome(trial).value,
                "headline": one_trial.trial_headline(study, trial),
                "settings": one_trial.settings_table(study, trial),
                "epochs": one_trial.trial_curves_table(trial),
                "logs": one_trial.log_tails(trial),
                "error": trial.attrs.get("error"),
                "run_id": run_id,
                "run_link": mlflow_link(self._tracking, run_id),
                "figures": [(key, _words(key)) for key in one_trial.FIGURES],
                "before": trial.number - 1 if trial.number > 0 else None,
                "after": trial.number + 1 if trial.number + 1 < len(study.trials) else None,
            },
            snapshot,
        )

    def _trial_figure(self, request: Request) -> Response:
        snapshot, trial = self._chosen(request)
        key = request.path_params["figure"]
        if key not in one_trial.FIGURES:
            raise HTTPException(404, f"no figure {key!r}")
        return _json(figure_json(key, one_trial.draw_trial(snapshot.study, trial, key)))

    def _compare(self, request: Request) -> Response:
        snapshot, trials = self._several(request)
        study = snapshot.study
        return self._page(
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
            return _json(figure_json(key, draw_curves(replace(snapshot.study, trials=tuple(trials)))))
        if key == "classes" and len(numbers) == 2:
            return _json(figure_json(key, draw_class_difference(snapshot.study, *numbers)))
        raise HTTPException(404, f"no figure {key!r} of {len(numbers)} trials")

    def _promotion(self, request: Request) -> Response:
        snapshot = self._snapshot(request)
        study = snapshot.study
        run_id = study.facts.get("promotion", {}).get("mlflow_run_id")
        values = {
            "figures": [(key, _words(key)) for key in promotion_figures(study)],
            "evaluation": evaluation_table(study),
            "finalists": finalist_table(study),
            "pairs": pair_table(study),
            "facts": choice_facts(study),
            "record": whole_record(study),
            "best": best_trial(study),
            "run_id": run_id,
            "run_link": mlflow_link(self._tracking, run_id),
        }
        return self._page("promotion", values, snapshot)

    def _promotion_figure(self, request: Request) -> Response:
        study, key = self._snapshot(request).study, request.path_params["figure"]
        draw = promotion_figures(study).get(key)
        if draw is None:
            raise HTTPException(404, f"no figure {key!r}")
        return _json(figure_json(key, draw(study)))

    def _snapshot(self, request: Request) -> Snapshot:
        """The study that an address names; no part of the address ever becomes a path."""
        key = request.path_params["study"]
        if key not in self._keys:
            self._keys = {study_key(name): name for name in self._records.names()}
        if key not in self._keys:
            raise HTTPException(404, "no such study here; it may have been deleted")
        return self._records.read(self._keys[key])

    def _chosen(self, request: Request) -> tuple[Snapshot, TrialRecord]:
        snapshot = self._snapshot(request)
        return snapshot, _trial_of(snapshot.study, request.path_params["trial"])

    def _several(self, request: Request) -> tuple[Snapshot, list[TrialRecord]]:
        snapshot = self._snapshot(request)
        asked = request.query_params.getlist("trial")
        numbers = dict.fromkeys(_number(one, "trial") for text in asked for one in text.replace(",", " ").split())
        if not 2 <= len(numbers) <= MOST_COMPARED:
            raise HTTPException(400, f"choose 2 to {MOST_COMPARED} trials to compare; {len(numbers)} were chosen")
        return snapshot, [_trial_of(snapshot.study, number) for number in numbers]

    def _page(
        self, template: str, values: Mapping[str, Any], snapshot: Snapshot | None = None, *, status: int = 200
    ) -> Response:
        about = {}
        if snapshot is not None:
            at = f"/study/{study_key(snapshot.study.name)}"
            about = {"study": snapshot.study, "revision": snapshot.revision, "at": at}
        return HTMLResponse(self._templates.get_template(f"{template}.html.j2").render(**about, **values), status)

    def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._page("problem", {"words": error.detail}, status=error.status_code)

    def _unreadable(self, request: Request, error: Exception) -> Response:
        return self._page("problem", {"words": str(error)}, status=503)

    def _failed(self, request: Request, error: Exception) -> Response:
        words = f"This page could not be made: {type(error).__name__}. The terminal of the dashboard says more."
        return self._page("problem", {"words": words}, status=500)


def study_key(name: str) -> str:
    """A study in an address: a readable slug and a hash, since any text may be a name."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "study"
    return f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _answering(page: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """The page made in a thread: records are read from disk."""

    async def answer(request: Request) -> Response:
        return await run_in_threadpool(page, request)

    return answer


def _asset(request: Request) -> Response:
    """Plotly's script, which a browser keeps by its version, or our own style and script."""
    match request.path_params["asset"]:
        case "plotly.js":
            return Response(get_plotlyjs(), media_type="text/javascript", headers={"Cache-Control": FOREVER})
        case "live.js":
            return Response((HERE / "live.js").read_text("utf-8"), media_type="text/javascript")
        case "live.css":
            style = (ASSETS / "report.css").read_text("utf-8") + (HERE / "live.css").read_text("utf-8")
            return Response(style, media_type="text/css")
    raise HTTPException(404, "no such page")


def _trial_of(study: StudyRecord, number: int) -> TrialRecord:
    if not 0 <= number < len(study.trials):
        raise HTTPException(404, f"study {study.name!r} has no trial {number}")
    return study.trials[number]


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise HTTPException(400, f"{what}: expected a number, got {text[:40]!r}")
    return int(text)


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")


def _words(key: str) -> str:
    """A figure's name until its own title is there."""
    return key.replace("-", " ").capitalize()
