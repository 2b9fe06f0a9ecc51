"""Listening socket of the gateway, exclusive or shared with its successor during a rolling restart."""

from __future__ import annotations

import socket

from mmplatform.errors import Permanent, Unavailable


def listen(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A listening socket; with ``reuse_port`` it is only bound, and another process may bind the port as well.

    Raises:
        Permanent: the process may not bind the port.
        Unavailable: the port is in use, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if reuse_port:
            return _bind_reusable(family, host, port)
        return socket.create_server((host, port), family=family, backlog=2048)
    except PermissionError:
        raise Permanent(f"may not listen on {host}:{port}: set MMPLATFORM_GATEWAY_PORT to one above 1023") from None
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {host}:{port} ({error.strerror}): set MMPLATFORM_GATEWAY_HOST or _PORT, 0 for a free one"
        ) from None


def _bind_reusable(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: every listener of a shared port gets connections, ready or not.

    Uvicorn listens on it at the end of its start.
    """
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((host, port))
    return bound
