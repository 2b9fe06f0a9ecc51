"""Broker process: locks its data directory, listens, and ends on a signal or with its parent."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import ipaddress
import os
import resource
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import structlog

from mmplatform.errors import Misconfigured
from mmplatform.local.broker.node import Node
from mmplatform.local.broker.options import BrokerOptions
from mmplatform.local.broker.server import Connection, listen

_log = structlog.get_logger(__name__)
_PR_SET_PDEATHSIG = 1
_LOCK = "lock"


class CannotStart(Misconfigured):
    """The broker cannot start; the message says what to do."""


def check_loopback(host: str) -> None:
    """Raise CannotStart unless every address of `host` is a loopback address."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CannotStart(f"host {host!r} does not resolve: {error}; use 127.0.0.1") from error
    if not all(ipaddress.ip_address(address[4][0]).is_loopback for address in found):
        raise CannotStart(
            f"refusing to listen on {host!r}: the embedded broker has no access control and serves this machine only; "
            "use 127.0.0.1, or a real Kafka for several machines"
        )


def lock_directory(data: Path) -> IO[str]:
    """Lock `data` for as long as the returned file is open; raises CannotStart when it is in use, or OSError."""
    data.mkdir(parents=True, exist_ok=True)
    file = (data / _LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        if not isinstance(error, BlockingIOError):
            raise
        message = f"{data} is in use by another broker (pid {owner}); stop it, or choose another --data"
        raise CannotStart(message) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


async def serve(options: BrokerOptions) -> None:
    """Run until a signal, the end of standard input, or the parent's death; raises CannotStart."""
    check_loopback(options.host)
    _allow_open_files()
    with _opening(options.data):
        lock = lock_directory(options.data)
    try:
        with _opening(options.data):
            node = Node(options)
            node.open()
        await _serve(node)
    finally:
        lock.close()


@contextmanager
def _opening(data: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise CannotStart(
            f"cannot open the data in {data}: {error}; check the disk, and the directory's owner and content, "
            "or choose another --data"
        ) from error


async def _serve(node: Node) -> None:
    options = node.options
    connections: set[Connection] = set()
    stop = asyncio.Event()
    try:
        try:
            server = await listen(node, connections)
        except (OSError, OverflowError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise CannotStart(f"cannot listen on {options.host}:{options.port}: {reason}") from error
        _stop_on(stop, options)
        if options.port_file is not None:
            _publish(options.port_file, node.port)
        _log.info("broker_ready", host=options.host, port=node.port, data=str(options.data), cluster=node.cluster_id)
        await stop.wait()
        server.close()
        for connection in list(connections):
            connection.abort()
    finally:
        await node.close()
        _log.info("broker_stopped", port=node.port)


def _allow_open_files() -> None:
    """Every written partition and every connection is an open file; many systems allow only 1024 unless asked."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _publish(path: Path, port: int) -> None:
    """Write the port in one step, so that a reader never sees a part of it; raises CannotStart."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(str(port))
        temporary.replace(path)
    except OSError as error:
        raise CannotStart(f"cannot write the port to {path}: {error.strerror}; choose another --port-file") from error


def _stop_on(stop: asyncio.Event, options: BrokerOptions) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.exit_with_stdin:
        threading.Thread(target=_watch_stdin, args=(loop, stop.set), name="stdin", daemon=True).start()
        _follow_parent(loop, stop.set)


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    with suppress(RuntimeError):  # the loop has already ended
        loop.call_soon_threadsafe(stop)


def _follow_parent(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Stop when the parent process ends; on Linux the kernel sends a signal.

    It also sends one when only the parent's *thread* ends that started this process. So the handler stops only if the
    parent has changed.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()

    def on_signal() -> None:
        if os.getppid() != parent:
            stop()

    loop.add_signal_handler(signal.SIGUSR1, on_signal)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
