"""What all live pages share: the records they read, how an address names a study, templates, refusals."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs_version
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dashboards.palette import DARK
from dashboards.panel import environment
from search.records.live import LiveRecords, Snapshot
from search.records.study import StudyRecord, TrialRecord

HERE = Path(__file__).with_name("page")

Page = Callable[[Request], Response]
# Brings the files of a trial that is kept elsewhere into its folder: study, number, URI of the study's trials. Returns
# why they could not be had, None where they could.
Fetch = Callable[[str, int, str], str | None]


class Site:
    """The studies of one storage and how pages of them are made; `tracking` is MLflow's address."""

    def __init__(self, records: LiveRecords, tracking: str, fetch: Fetch) -> None:
        self.records = records
        self.tracking = tracking
        self.fetch = fetch
        self._keys: dict[str, str] = {}
        self._templates = environment([HERE])
        self._templates.globals["plotly_version"] = get_plotlyjs_version()
        self._templates.globals["dark"] = Markup(json.dumps(DARK))
        # The first reader need not wait for their compilation.
        for path in HERE.glob("*.html.j2"):
            self._templates.get_template(path.name)

    def snapshot(self, request: Request) -> Snapshot:
        """The study that an address names; no part of the address ever becomes a path."""
        key = request.path_params["study"]
        if key not in self._keys:
            self._keys = {study_key(name): name for name in self.records.names()}
        if key not in self._keys:
            raise HTTPException(404, "no such study here; it may have been deleted")
        return self.records.read(self._keys[key])

    def page(
        self, template: str, values: Mapping[str, Any], snapshot: Snapshot | None = None, *, status: int = 200
    ) -> Response:
        """A page from its template; of a study where there is a snapshot of it."""
        about = {}
        if snapshot is not None:
            at = f"/study/{study_key(snapshot.study.name)}"
            about = {"study": snapshot.study, "revision": snapshot.revision, "at": at}
        return HTMLResponse(self._templates.get_template(f"{template}.html.j2").render(**about, **values), status)

    def refused(self, request: Request, error: Exception) -> Response:
        """The answer to what cannot be asked."""
        assert isinstance(error, HTTPException)
        return self.page("problem", {"words": error.detail}, status=error.status_code)

    def unreadable(self, request: Request, error: Exception) -> Response:
        """The answer where records cannot be read."""
        return self.page("problem", {"words": str(error)}, status=503)

    def failed(self, request: Request, error: Exception) -> Response:
        """The answer where a page cannot be made."""
        words = f"This page could not be made: {type(error).__name__}. The terminal of the dashboard says more."
        return self.page("problem", {"words": words}, status=500)


def study_key(name: str) -> str:
    """A study in an address: a readable slug and a hash, since any text may be a name."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "study"
    return f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def trial_of(study: StudyRecord, number: int) -> TrialRecord:
    """A trial of the study that an address names."""
    if not 0 <= number < len(study.trials):
        raise HTTPException(404, f"study {study.name!r} has no trial {number}")
    return study.trials[number]


def number_in(text: str, what: str) -> int:
    """A number in an address."""
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise HTTPException(400, f"{what}: expected a number, got {text[:40]!r}")
    return int(text)


def json_response(text: str) -> Response:
    """JSON that is text already."""
    return Response(text, media_type="application/json")


def first_words(key: str) -> str:
    """A figure's name until its own title is there."""
    return key.replace("-", " ").capitalize()
