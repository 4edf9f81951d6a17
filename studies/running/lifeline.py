"""Processes that end with the one that holds them, and are known to be gone: a socket that either end's death shuts.

The kernel closes it whatever killed a process, on another node too, before anyone's heartbeat notices.
"""

import os
import secrets
import selectors
import socket
import threading
import time

Address = tuple[str, int, str]
TOKEN_BYTES = 16


class Lifelines:
    """The holder's end: one socket per held process."""

    def __init__(self, host: str) -> None:
        self._server = socket.create_server((host, 0))
        self._token = secrets.token_hex(TOKEN_BYTES)
        self._held: list[socket.socket] = []

    @property
    def address(self) -> Address:
        """What `hold_on` needs."""
        host, port = self._server.getsockname()[:2]
        return str(host), int(port), self._token

    def take(self, count: int) -> None:
        """Take in the sockets of this many processes that have called `hold_on`."""
        while len(self._held) < count:
            line, _ = self._server.accept()
            # A stranger on the port sends no token.
            if line.recv(2 * TOKEN_BYTES, socket.MSG_WAITALL).decode(errors="replace") == self._token:
                self._held.append(line)
            else:
                line.close()

    def one_gone(self, within_s: float) -> bool:
        """Whether a held process dies within some seconds, or has died."""
        with selectors.DefaultSelector() as selector:
            for line in self._held:
                selector.register(line, selectors.EVENT_READ)
            return bool(selector.select(within_s))

    def all_gone(self, within_s: float) -> bool:
        """Whether all held processes are gone within some seconds."""
        until = time.monotonic() + within_s
        for line in self._held:
            line.settimeout(max(0.001, until - time.monotonic()))
            try:
                if line.recv(1):
                    return False
            except TimeoutError:
                return False
            except ConnectionError:
                continue
        return True

    def close(self) -> None:
        """Let go: a process that still lives ends itself."""
        self._server.close()
        for line in self._held:
            line.close()


def hold_on(address: Address) -> None:
    """End this process, at once and whatever it does, when the holder of the address is gone."""
    host, port, token = address
    line = socket.create_connection((host, port))
    line.sendall(token.encode())
    threading.Thread(target=_end_after, args=(line,), name="lifeline", daemon=True).start()


def _end_after(line: socket.socket) -> None:
    try:
        line.recv(1)
    finally:
        os._exit(1)
