"""Serving the pages until Ctrl-C."""

import errno
import socket
import time
from collections.abc import Callable
from urllib.parse import quote

import uvicorn

from dashboards.live.access import Access, DashboardError, Guard
from dashboards.live.pages import make_app
from dashboards.live.site import Fetch
from search.records.live import LiveRecords

# What is still being drawn when Ctrl-C comes has so long.
GRACE_S = 2


def serve(
    records: LiveRecords,
    host: str,
    port: int,
    *,
    token: str | None,
    tracking: str,
    fetch: Fetch,
    say: Callable[[str], None],
) -> None:
    """Serve the pages at an address until SIGINT or SIGTERM, saying where; port 0 takes a free one.

    `tracking` is MLflow's address; `fetch` brings files of a trial that is kept elsewhere. Raises DashboardError for an
    address that is taken or needs a token, and KeyboardInterrupt once all is closed.
    """
    Access.of(host, port, token)
    with listen(host, port) as listener:
        started = time.monotonic()
        try:
            if records.unindexed:
                say("index: none yet; all records are read once, later starts read what is new")
            found = records.load()
            if found.trials:
                say(f"{found.words} in {time.monotonic() - started:.1f} s")
            taken = int(listener.getsockname()[1])
            query = f"?token={quote(token)}" if token else ""
            say(f"dashboard: http://{f'[{host}]' if ':' in host else host}:{taken}/{query} (Ctrl-C ends it)")
            make_server(records, Access.of(host, taken, token), tracking, fetch).run(sockets=[listener])
        finally:
            records.close()


def make_server(records: LiveRecords, access: Access, tracking: str, fetch: Fetch) -> uvicorn.Server:
    """The server of the pages; it writes no line for a request, since an address may hold the token."""
    return uvicorn.Server(
        uvicorn.Config(
            Guard(make_app(records, tracking, fetch), access),
            lifespan="off",
            ws="none",
            access_log=False,
            log_level="error",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; raises DashboardError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError, OverflowError) as error:
        raise DashboardError(f"--host {host}: no address of this machine ({error})") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise DashboardError(
                f"port {port} of {host} is taken, perhaps by another dashboard; choose another with --port, or 0 for "
                "a free one"
            ) from error
        raise DashboardError(f"cannot listen on {host}, port {port}: {error.strerror}") from error
    return listener
