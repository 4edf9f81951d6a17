"""Whether a Ray head answers at an address: known in seconds, where Ray's own attempts take minutes."""

import os
import re
import socket
import time

from studies.running.resources import RayNotStarted, ResourceError

PATIENCE_S = 10.0
ADDRESS = re.compile(r"(?:\[(?P<six>[^\[\]/]+)\]|(?P<host>[^:\[\]/]+)):(?P<port>\d{1,5})")
# The opening of an HTTP/2 connection by the client (RFC 9113, 3.4) with empty settings, and the type of the frame that
# every server opens with: Ray's head speaks gRPC, which is HTTP/2.
OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
FRAME_BYTES, SETTINGS = 9, 4


def is_local(address: str | None) -> bool:
    """Whether an address asks for a Ray of this machine's own."""
    return address in (None, "", "local")


def check_address(address: str | None) -> None:
    """Raise ResourceError for what is no address of a cluster, RayNotStarted where no head answers within 10 s."""
    if address is None or is_local(address):
        return
    if address.startswith("ray://"):
        raise ResourceError(
            f"--address: {address} is Ray Client, which runs no driver; expected host:port of the cluster's head, from "
            "a machine of the cluster, or submit the command with `ray job submit` (docs/cluster.md)"
        )
    if address == "auto":
        # Ray looks for a cluster on this machine, and there is none or it is here.
        return
    parts = ADDRESS.fullmatch(address)
    if parts is None or not 0 < int(parts["port"]) < 65536:
        raise ResourceError(f"--address: got {address!r}, expected host:port of the cluster's head, such as head:6379")
    reason = _unanswered(parts["six"] or parts["host"], int(parts["port"]))
    if reason is not None:
        raise RayNotStarted(
            f"the Ray cluster at {address} cannot be used: {reason}; nothing was run. Is its head up (`ray status` "
            "there), and is this its address and port (docs/cluster.md)?"
        )


def _unanswered(host: str, port: int) -> str | None:
    """Why no head of Ray can be there, None where one may be."""
    until_s = time.monotonic() + PATIENCE_S
    try:
        with socket.create_connection((host, port), timeout=PATIENCE_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                # It answers those alone that have its certificates, which Ray finds.
                return None
            connection.sendall(OPENING)
            frame = b""
            while len(frame) < FRAME_BYTES:
                connection.settimeout(max(0.01, until_s - time.monotonic()))
                if not (more := connection.recv(FRAME_BYTES - len(frame))):
                    return "what listens there closes the connection: it is no head of Ray"
                frame += more
    except TimeoutError:
        return f"no answer within {PATIENCE_S:g} s"
    except OSError as error:
        return error.strerror or str(error)
    except UnicodeError:
        return "this is no host's name"
    return None if frame[3] == SETTINGS else "what listens there is no head of Ray"
