"""Leases ports to the children: the preferred one, or the next free one above it.

A child binds its port only seconds after it was picked (it imports its libraries first). So that a second stack of the
same user does not pick the same port meanwhile, each port has a file lock for as long as its stack runs; the kernel
releases it however the supervisor ends.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from filelock import FileLock, Timeout

from mmplatform.errors import Unavailable
from mmplatform.land.file_lock import lock_error

_MAX_TRIES: Final = 300
_LAST_PORT: Final = 65535


def leases_dir() -> Path:
    """Directory of the port locks, shared by all stacks of one user on this machine."""
    return Path(tempfile.gettempdir()) / f"mmplatform-ports-{os.getuid()}"


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Check that a server could listen there now. SO_REUSEADDR: lingering closed connections do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def any_free_port(host: str = "127.0.0.1") -> int:
    """Return a free port that the system picks."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class PortLeases:
    """Ports leased to one stack; a context manager that releases them at its end."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or leases_dir()
        self._leased: dict[int, FileLock] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def lease(self, preferred: int, host: str = "127.0.0.1") -> int:
        """Lease a port: ``preferred``, else the next free one above it; 0 means any.

        Raises:
            Unavailable: no port is free, or the file of a lease cannot be locked.
        """
        if preferred:
            # Upwards and not at random: the system uses random ports (32768 and up) for outgoing connections.
            for port in range(preferred, min(preferred + _MAX_TRIES, _LAST_PORT + 1)):
                if self._try_lease(port, host):
                    return port
        for _ in range(_MAX_TRIES):
            port = any_free_port(host)
            if self._try_lease(port, host):
                return port
        raise Unavailable(
            f"no free port on {host} near {preferred}: stop the program that listens there, or set another port"
        )

    def release(self) -> None:
        """Release every port."""
        for lock in self._leased.values():
            lock.release()
        self._leased.clear()

    def _try_lease(self, port: int, host: str) -> bool:
        if port in self._leased or not is_free(port, host):
            return False
        path = self._directory / str(port)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # No soft lock: it would outlive a kill -9.
            lock = FileLock(path, mode=0o600, blocking=False, fallback_to_soft=False)
            lock.acquire()
        except Timeout:
            return False
        except OSError as error:
            raise lock_error(path, error, "TMPDIR") from error
        self._leased[port] = lock
        return True
