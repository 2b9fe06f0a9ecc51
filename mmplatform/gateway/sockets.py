"""The socket on which the gateway takes requests, alone or beside its successor."""

from __future__ import annotations

import socket

from mmplatform.errors import Permanent, Unavailable


def listen(host: str, port: int, *, shared: bool) -> socket.socket:
    """A listening socket; a shared one is only bound, and may be bound by another process as well.

    Raises:
        Permanent: the port is not ours to take.
        Unavailable: the port is in use, or the address none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if shared:
            return _bound(family, host, port)
        return socket.create_server((host, port), family=family, backlog=2048)
    except PermissionError:
        raise Permanent(f"may not listen on {host}:{port}: set MMPLATFORM_GATEWAY_PORT to one above 1023") from None
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {host}:{port} ({error.strerror}): set MMPLATFORM_GATEWAY_HOST or _PORT, 0 for a free one"
        ) from None


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """Bound, and not listening yet: of connections to a shared port each listener gets some, ready or not.

    Uvicorn listens on it at the end of its start.
    """
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((host, port))
    return made
