"""Supervisor's side of the fork server: starts it, and has it fork workers as children of this process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ctypes import CDLL
from pathlib import Path
from typing import Final

from mmplatform.local.supervisor.fork_server import FORK, GO, READY, ForkRequest
from mmplatform.local.supervisor.preload import stage_number

_PR_SET_CHILD_SUBREAPER: Final = 36
_READY_TIMEOUT_S: Final = 120.0
_FORK_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.05


class ForkedProcess:
    """A child of this process that another one has forked, with the part of ``Popen`` that the supervisor uses."""

    stdin = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # its status was collected by another part of this process
                self.returncode = 255
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        give_up = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(_POLL_S)
        return code

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkServer:
    """The fork server of one start of the stack; a worker that it cannot fork starts by itself."""

    def __init__(
        self,
        environment: Mapping[str, str],
        log: Path,
        workers: int,
        on_end: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``environment``: variables that libraries read at their import, and the cookie of the stack.

        It ends when ``workers`` workers have been started; ``on_end`` is called with its pid, which is free then.
        """
        self._on_end = on_end
        self._environment = environment
        self._log = log
        self._workers_left = workers
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._received = b""
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Pid of the running server."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it where workers can become children of this process: on Linux.

        Raises:
            OSError: it cannot be started.
        """
        if not sys.platform.startswith("linux"):
            return
        self._control, child_socket = socket.socketpair()
        self._control.setblocking(False)
        with child_socket, self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mmplatform.local.supervisor.fork_server", str(os.getpid())],
                # The title of a process goes over its environment; a worker is found by the cookie that is there.
                env={**os.environ, **self._environment, "SPT_NOENV": "1"},
                stdin=child_socket.fileno(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def start_worker(self, request: ForkRequest) -> ForkedProcess | None:
        """Fork a worker as soon as its modules are imported; None where it has to start by itself."""
        try:
            return await self._fork(request)
        finally:
            self._workers_left -= 1
            if self._workers_left <= 0:
                self.close()

    async def _fork(self, request: ForkRequest) -> ForkedProcess | None:
        """Have it fork a worker; a server that does not answer is ended, and the worker starts by itself."""
        stage = stage_number(request.command[-1])
        if not await self._receive(READY, stage + 1):
            return None
        async with self._turn:
            forks = self._received.count(FORK)
            try:
                if self._control is not None:
                    self._control.sendall(request.encode())
                # Between two imports. Until then this process goes on, and adopts no orphan.
                if await self._receive(FORK, forks + 1):
                    return self._adopt()
            except (OSError, ValueError):
                self.close()
        return None

    def _adopt(self) -> ForkedProcess | None:
        """Let it fork, and become the worker's parent.

        Raises:
            OSError: it does not answer.
            ValueError: it has ended.
        """
        if self._control is None:
            return None
        with _adopting_orphans():
            self._control.settimeout(_FORK_TIMEOUT_S)
            self._control.sendall(GO)
            pid, _, more = self._control.recv(1024).partition(b"\n")
            self._received += more  # it may have gone on to the end of a stage
            self._control.setblocking(False)
            return ForkedProcess(int(pid))

    async def _receive(self, word: bytes, times: int) -> bool:
        """Wait until it has written ``word`` so often; False where there is none, or it has failed."""
        give_up = time.monotonic() + _READY_TIMEOUT_S
        while self._control is not None and self._received.count(word) < times:
            received = b""
            try:
                received = self._control.recv(1024)
            except BlockingIOError:
                if time.monotonic() < give_up:
                    await asyncio.sleep(_POLL_S)
                    continue
            except OSError:
                pass
            if not received:
                self.close()
            self._received += received
        return self._control is not None

    def close(self) -> None:
        """End it; the workers that it has forked run on."""
        control, process, self._control, self._process = self._control, self._process, None, None
        if control is not None:
            control.close()
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
            self._on_end(process.pid)


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Be the parent of orphans among the descendants in the block; not for ever, since each must be waited for.

    Raises:
        OSError: the system refuses it, as a sandbox may.
    """
    prctl = CDLL(None).prctl
    if prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("prctl: the supervisor may not adopt the workers that the fork server forks")
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
