"""A cluster that is not there is told in seconds, before anything is made."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from studies.running import ray_address
from studies.running.ray_address import check_address
from studies.running.resources import RayNotStarted, ResourceError
from tests.studies import prepared
from tests.studies.commands import Call, caller
from tests.studies.hooked import receiving


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return caller(capsys, monkeypatch)


def test_a_launch_to_a_dead_address_ends_with_one_line_and_makes_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: int, silent: int
) -> None:
    monkeypatch.setattr(ray_address, "PATIENCE_S", 0.5)
    (tmp_path / "study.yaml").write_text(prepared.FILE % 2)
    root = tmp_path / "w"
    for port, reason in ((closed, "Connection refused"), (silent, "no answer within 0.5 s")):
        address = f"127.0.0.1:{port}"
        words = (str(tmp_path / "study.yaml"), "--workspace", str(root), "--address", address)
        code, _, err = call("launch", *words)
        assert code == 1
        (line,) = err.splitlines()
        assert line.startswith(f"failed: the Ray cluster at {address} cannot be used: {reason}; nothing was run.")
        assert not root.exists()


@pytest.mark.parametrize("address", ["head", "head:", "head:99999", "head:0", "http://head:6379", "::1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ResourceError, match="expected host:port of the cluster's head"):
        check_address(address)


@pytest.mark.parametrize("address", [None, "", "local", "auto"])
def test_where_ray_looks_for_itself_nothing_is_asked(address: str | None) -> None:
    check_address(address)


def test_a_host_that_is_not_there_is_told() -> None:
    with pytest.raises(RayNotStarted, match=r"the Ray cluster at nowhere\.invalid:6379 cannot be used: \w"):
        check_address("nowhere.invalid:6379")


def test_another_server_is_no_head_of_ray() -> None:
    with receiving() as receiver:
        place = receiver.url.split("/")[2]
        with pytest.raises(RayNotStarted, match=r"is no head of Ray|Connection reset"):
            check_address(place)


def test_a_head_whose_answer_comes_in_pieces_is_one() -> None:
    settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                heard = b""
                while len(heard) < len(ray_address.OPENING):
                    heard += connection.recv(100)
                for byte in settings:
                    connection.sendall(bytes([byte]))

        thread = threading.Thread(target=answer)
        thread.start()
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_with_tls_an_open_port_has_to_do(monkeypatch: pytest.MonkeyPatch, silent: int) -> None:
    monkeypatch.setitem(os.environ, "RAY_USE_TLS", "1")
    check_address(f"127.0.0.1:{silent}")
