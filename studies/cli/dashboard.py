"""The command that serves the live pages."""

from functools import partial
from typing import Annotated

import typer

from studies.cli.run import DEFAULT_WORKSPACE, WorkspaceOption
from studies.workspace import Workspace

PORT = 8270
INTERRUPTED = 130


def dashboard(
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes a free one")] = PORT,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="where to listen; others than this machine need --token")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            "--token", metavar="TEXT", envvar="CONTOURNEY_TOKEN", help="what a browser must know to read the pages"
        ),
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Show all studies of the workspace on live pages, which only read, until Ctrl-C.

    What was read is kept in an index, WORKSPACE/cache/records-*.sqlite, so that the next start reads only what is new;
    it may be deleted at any time.
    """
    from dashboards.live.serve import serve
    from search.records.index import Index, index_path
    from search.records.live import LiveRecords
    from studies.fetching import TrialFetcher

    place = Workspace.open(workspace)
    say = partial(print, flush=True)
    try:
        serve(
            LiveRecords(place.storage, place.root, Index(index_path(place.cache, place.storage), say)),
            host,
            port,
            token=token,
            tracking=place.tracking,
            fetch=TrialFetcher(place),
            say=say,
        )
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
