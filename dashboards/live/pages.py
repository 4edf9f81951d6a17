"""The live pages: which address answers what."""

from collections.abc import Awaitable, Callable

from plotly.offline import get_plotlyjs
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboards.live.promotion_pages import PromotionPages
from dashboards.live.site import HERE, Fetch, Page, Site
from dashboards.live.study_pages import StudyPages
from dashboards.live.trial_pages import TrialPages
from dashboards.panel import ASSETS
from search.records.live import LiveRecords
from search.records.study import RecordError

FOREVER = "private, max-age=31536000, immutable"


def make_app(records: LiveRecords, tracking: str, fetch: Fetch) -> Starlette:
    """The pages of one storage's studies; `tracking` is MLflow's address, `fetch` brings files of trials here."""
    site = Site(records, tracking, fetch)
    pages = {
        **StudyPages(site).pages,
        **TrialPages(site).pages,
        **PromotionPages(site).pages,
        "/assets/{asset}": _asset,
    }
    return Starlette(
        routes=[Route(path, _answering(page), methods=["GET"]) for path, page in pages.items()],
        middleware=[Middleware(GZipMiddleware, minimum_size=1000, compresslevel=3)],
        exception_handlers={HTTPException: site.refused, RecordError: site.unreadable, 500: site.failed},
    )


def _answering(page: Page) -> Callable[[Request], Awaitable[Response]]:
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
