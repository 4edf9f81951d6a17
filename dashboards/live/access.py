"""Who may read the pages: a token, hosts that the pages are asked for by, and headers that keep browsers safe."""

import hashlib
import hmac
import ipaddress
import socket
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FEWEST_CHARACTERS = 16
WILDCARDS = ("0.0.0.0", "::")
HEADERS = {
    "Content-Security-Policy": (
        # Plotly sets its styles by script.
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class DashboardError(ValueError):
    """The pages cannot be served as asked."""


@dataclass(frozen=True)
class Access:
    """Host names that requests may carry, None for any address of this machine; the token, None where none is asked."""

    hosts: frozenset[str] | None
    token: str | None
    cookie: str

    @classmethod
    def of(cls, host: str, port: int, token: str | None) -> "Access":
        """The access to pages at this address; raises DashboardError where others could reach them without a token."""
        if token is not None and (len(token) < FEWEST_CHARACTERS or not token.isascii() or not token.isprintable()):
            raise DashboardError(
                f"--token: expected at least {FEWEST_CHARACTERS} printable ASCII characters, got {len(token)}; "
                'make one with --token "$(openssl rand -hex 16)"'
            )
        if token is None and not is_loopback(host):
            raise DashboardError(
                f"--host {host}: others can reach this address, and the pages would have no lock; add "
                '--token "$(openssl rand -hex 16)", or stay on 127.0.0.1 and use ssh -L '
                f"{port or 8270}:127.0.0.1:{port or 8270}"
            )
        hosts = None if host in WILDCARDS else frozenset({host.lower(), "localhost", "127.0.0.1", "::1"})
        # A browser sends a cookie to every port of a host.
        return cls(hosts, token, f"contourney-{port}")

    def knows(self, host: str) -> bool:
        """Whether a request may carry this Host: a name that an attacker's own server answers for is none of ours."""
        name = host.strip().lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if self.hosts is not None:
            return name in self.hosts
        return _is_address(name) or name in {"localhost", socket.gethostname().lower(), socket.getfqdn().lower()}

    def admits(self, given: str) -> bool:
        """Whether this is the token, compared in constant time."""
        return self.token is None or hmac.compare_digest(given.encode(), self.token.encode())

    def admits_cookie(self, header: str) -> bool:
        """Whether the cookies hold what `cookie_value` gave."""
        try:
            found = SimpleCookie(header).get(self.cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self.cookie_value().encode())

    def cookie_value(self) -> str:
        """What a browser keeps: not the token itself."""
        return hmac.new((self.token or "").encode(), self.cookie.encode(), hashlib.sha256).hexdigest()


class Guard:
    """Lets reading requests through that carry a known host and the token, and adds the headers to every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("These pages can only be read.\n", 405, {"Allow": "GET, HEAD"})
        if not self._access.knows(headers.get("host", "")):
            return PlainTextResponse("This host name is not the dashboard's.\n", 400)
        if self._access.token is None or self._access.admits_cookie(headers.get("cookie", "")):
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._access.admits(given.strip()):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if any(key == "token" and self._access.admits(value) for key, value in query):
            return self._welcome(scope["path"], [(key, value) for key, value in query if key != "token"])
        return PlainTextResponse(
            "This dashboard needs its token: open the whole address that `contourney dashboard` printed.\n", 401
        )

    def _welcome(self, path: str, query: list[tuple[str, str]]) -> Response:
        """On to the same page without the token in its address, and with a cookie instead."""
        # Two slashes at the start would name another host.
        place = "/" + path.lstrip("/\\") + (f"?{urlencode(query)}" if query else "")
        answer = RedirectResponse(place, 303)
        answer.set_cookie(self._access.cookie, self._access.cookie_value(), httponly=True, samesite="strict", path="/")
        return answer


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
