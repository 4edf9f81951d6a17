"""The live pages as a real server in a thread."""

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dashboards.live.access import Access
from dashboards.live.serve import listen, make_server
from dashboards.live.site import study_key
from search.records.live import LiveRecords
from studies.fetching import TrialFetcher
from studies.workspace import Workspace

TOKEN = "a token of some length"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Served:
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def study(self, name: str, *, path: str = "") -> str:
        return f"/study/{study_key(name)}{path}"

    def get(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            text = answer.read().decode()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, text)
        finally:
            connection.close()


@contextmanager
def serving(root: Path, *, host: str = "127.0.0.1", token: str | None = None, tracking: str = "") -> Iterator[Served]:
    with listen(host, 0) as listener:
        port = int(listener.getsockname()[1])
        records = LiveRecords(str(root / "optuna.journal"), root)
        server = make_server(records, Access.of(host, port, token), tracking, TrialFetcher(Workspace.open(root)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(port)
        finally:
            server.should_exit = True
            thread.join(timeout=180)
