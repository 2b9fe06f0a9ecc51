"""Listening socket of the gateway, exclusive or shared with its successor during a rolling restart."""

from __future__ import annotations

import socket
from typing import Final

from mmplatform.errors import Permanent, Unavailable

_BACKLOG: Final = 2048


def listen(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A listening socket; with ``reuse_port`` it is only bound, and another process may bind the port as well.

    Raises:
        Permanent: the process may not bind the port.
        Unavailable: the port is in use, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return _bind_reusable(family, host, port) if reuse_port else _listen_alone(family, host, port)
    except PermissionError:
        raise Permanent(f"may not listen on {host}:{port}: set MMPLATFORM_GATEWAY_PORT to one above 1023") from None
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {host}:{port} ({error.strerror}): set MMPLATFORM_GATEWAY_HOST or _PORT, 0 for a free one"
        ) from None


def _bind(family: socket.AddressFamily, host: str, port: int, *options: int) -> socket.socket:
    """A bound TCP socket whose connections send at once.

    asyncio sets TCP_NODELAY only where the socket names its protocol. Without it every answer on a kept-alive
    connection waited 40 ms, for the client's delayed acknowledgement of the answer's headers.
    """
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        for option in (socket.SO_REUSEADDR, *options):
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _listen_alone(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """A listening socket that no other process may share."""
    bound = _bind(family, host, port)
    bound.listen(_BACKLOG)
    return bound


def _bind_reusable(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: every listener of a shared port gets connections, ready or not.

    Uvicorn listens on it at the end of its start.
    """
    return _bind(family, host, port, socket.SO_REUSEPORT)
