"""Messages to a web hook, sent by a thread of their own: a receiver that is slow or gone costs the sender nothing."""

import http.client
import json
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

TIMEOUT_S = 5.0
# Waits before the second and the third attempt.
WAITS_S = (1.0, 4.0)
# What a receiver that is away can make us keep; the oldest go first.
QUEUED_AT_MOST = 100
# How long the end of a run waits for what is still to be sent.
PATIENCE_S = 5.0
TRY_AGAIN = (408, 425, 429)


class Poster:
    """Posts JSON to `url`, each message up to three times; `say` is told once if some could not be delivered.

    A message whose answer was lost is sent again: receivers tell repetitions by their `id`. `name` is what the address
    is called in words, since it is a secret itself.
    """

    def __init__(self, url: str, name: str, say: Callable[[str], None]) -> None:
        self._url = url
        self._name = name
        self._say = say
        self._said = False
        self._lock = threading.Lock()
        self._queue: queue.Queue[Mapping[str, Any] | None] = queue.Queue(QUEUED_AT_MOST)
        self._closing = threading.Event()
        self._away = False
        self._opener = urllib.request.build_opener(_NoRedirects)
        self._thread = threading.Thread(target=self._work, name="hook", daemon=True)
        self._thread.start()

    def post(self, message: Mapping[str, Any]) -> None:
        """Queue a message; it takes the oldest one's place where the queue is full."""
        self._put(message)

    def close(self) -> None:
        """Wait up to five seconds for what is still to be sent."""
        self._closing.set()
        self._put(None)
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            self._tell(f"it did not take the last of them within {PATIENCE_S:g} s")
        with self._lock:
            # A thread that outlives the run is not to speak after it.
            self._said = True

    def _put(self, message: Mapping[str, Any] | None) -> None:
        while True:
            try:
                self._queue.put_nowait(message)
                return
            except queue.Full:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return
        self._tell(f"more than {QUEUED_AT_MOST} of them wait for it")

    def _work(self) -> None:
        while (message := self._queue.get()) is not None:
            # One that was away before gets a single attempt, so that the queue moves.
            waits = (0.0,) if self._away else (0.0, *WAITS_S)
            reason = self._deliver(json.dumps(message).encode(), waits)
            self._away = reason is not None
            if reason is not None:
                self._tell(reason)

    def _deliver(self, body: bytes, waits_s: tuple[float, ...]) -> str | None:
        """None once the receiver has taken it, else why not."""
        reason: str | None = None
        for wait_s in waits_s:
            # Cut short when the run ends.
            self._closing.wait(wait_s)
            reason, lasting = self._attempt(body)
            if reason is None or lasting:
                break
        return reason

    def _attempt(self, body: bytes) -> tuple[str | None, bool]:
        """Why an attempt failed, None if it did not, and whether another would be in vain."""
        headers = {"Content-Type": "application/json", "User-Agent": "contourney"}
        began_s = time.monotonic()
        try:
            request = urllib.request.Request(self._url, body, headers, method="POST")
            self._opener.open(request, timeout=TIMEOUT_S).close()
        except urllib.error.HTTPError as error:
            error.close()
            return f"HTTP status {error.code}", error.code < 500 and error.code not in TRY_AGAIN
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, TimeoutError) or time.monotonic() - began_s > TIMEOUT_S:
                return f"no answer within {TIMEOUT_S:g} s", False
            # Never its text, which may hold the address.
            return getattr(cause, "strerror", None) or type(cause).__name__, isinstance(error, ValueError)
        return None, False

    def _tell(self, reason: str) -> None:
        with self._lock:
            said, self._said = self._said, True
        if not said:
            self._say(f"the web hook of {self._name} misses messages: {reason}; the study goes on, this is said once")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Takes a redirection for a failure: followed, a POST would become a GET without its content."""

    def redirect_request(self, *_: Any) -> None:
        """None: do not follow."""
