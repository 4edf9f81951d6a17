"""The system's own Chromium without a window, asked through its DevTools pipe: one start for any number of pages."""

import base64
import fcntl
import itertools
import json
import math
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dashboards.panel import ReportError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# The first start of a browser on a busy machine takes tens of seconds.
LIMIT_S = 300.0
GRACE_S = 10.0
POLL_S = 0.02
PX_PER_INCH = 96


class Page:
    """An empty page of a running browser."""

    def __init__(self, name: str, to: int, back: int) -> None:
        self._name = name
        self._to, self._back = to, back
        self._ids = itertools.count(1)
        self._received = b""
        self._session: str | None = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._frame = self._ask("Page.getFrameTree")["frameTree"]["frame"]["id"]

    def show(self, document: str) -> None:
        """Replace the page's content by a document, whose scripts have run afterwards."""
        self._ask("Page.setDocumentContent", frameId=self._frame, html=document)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited; raises ReportError where it throws."""
        answer = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise ReportError(f"{self._name} drew nothing: {details.get('exception', details).get('description')}")
        return answer["result"].get("value")

    def pdf(self, width_px: int, height_px: int) -> bytes:
        """The page as a PDF of this size, without margins."""
        size = {"paperWidth": width_px / PX_PER_INCH, "paperHeight": height_px / PX_PER_INCH}
        margins = {f"margin{side}": 0 for side in ("Top", "Bottom", "Left", "Right")}
        return base64.b64decode(self._ask("Page.printToPDF", printBackground=True, **size, **margins)["data"])

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        content = memoryview(json.dumps(message).encode() + b"\0")
        until = time.monotonic() + LIMIT_S
        try:
            while content:
                content = content[os.write(self._to, content) :]
        except BrokenPipeError as error:
            raise ReportError(f"{self._name} ended before it drew anything") from error
        while True:
            answer = self._next(until)
            if answer.get("id") == number:
                if "error" in answer:
                    raise ReportError(f"{self._name} does not know {method}: {answer['error']['message']}")
                found: dict[str, Any] = answer["result"]
                return found

    def _next(self, until: float) -> dict[str, Any]:
        """The next answer or event."""
        parts = [self._received]
        while b"\0" not in parts[-1]:
            if not select.select([self._back], [], [], max(0.0, until - time.monotonic()))[0]:
                raise ReportError(f"{self._name} drew nothing within {LIMIT_S:.0f} s")
            part = os.read(self._back, 1 << 20)
            if not part:
                raise ReportError(f"{self._name} ended before it drew anything")
            parts.append(part)
        text, _, self._received = b"".join(parts).partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found


def find_browser() -> str:
    """The path of the first browser on the PATH; raises ReportError where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise ReportError(
            f"SVG and PDF files are drawn by a browser, and none is here: expected one of {', '.join(BROWSERS)} on the "
            "PATH; install one (Debian: apt-get install chromium) or leave --figures out"
        )
    return found


@contextmanager
def open_page(browser: str) -> Iterator[Page]:
    """An empty page; raises ReportError where the browser does not start."""
    # A profile of its own: one that a user's open browser holds would be refused.
    with tempfile.TemporaryDirectory(prefix="contourney-browser-", ignore_cleanup_errors=True) as profile:
        command = [browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        command += [f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        if os.geteuid() == 0:
            # Chromium refuses to start as root with its sandbox; the page is ours and may load nothing.
            command.append("--no-sandbox")
        process, to, back = _spawn(command)
        try:
            yield Page(browser, to, back)
        finally:
            # Without its pipe the browser ends by itself.
            os.close(to)
            os.close(back)
            _wait(process)


def _spawn(command: list[str]) -> tuple[int, int, int]:
    """Start a browser, which reads its file 3 and writes its file 4; its process, and our ends of the two pipes."""
    reads, to = _pipe()
    back, writes = _pipe()
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    pipes = [(os.POSIX_SPAWN_DUP2, reads, 3), (os.POSIX_SPAWN_DUP2, writes, 4)]
    try:
        process = os.posix_spawn(command[0], command, os.environ, file_actions=[*quiet, *pipes])
    except OSError as error:
        os.close(to)
        os.close(back)
        raise ReportError(f"{command[0]} does not start: {error.strerror}") from error
    finally:
        os.close(reads)
        os.close(writes)
    return process, to, back


def _pipe() -> tuple[int, int]:
    """The ends of a pipe, which are neither 3 nor 4 and are not inherited."""
    ends = os.pipe()
    reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return reads, writes


def _wait(process: int) -> None:
    """Until a browser has ended, which is killed where it does not."""
    until = time.monotonic() + GRACE_S
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(process, signal.SIGKILL)
            until = math.inf
        time.sleep(POLL_S)
