"""Starting a real server for a test, and being sure that it ends with the test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest


def free_ports(count: int) -> list[int]:
    """Loopback ports that were free a moment ago, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


def program(name: str, *, fix: str) -> str:
    """Find a program, next to the running Python first. Skips the test when it is missing."""
    sibling = Path(sys.executable).with_name(name)
    found = str(sibling) if sibling.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed ({fix})")
    return found


@contextmanager
def running(
    command: Sequence[str],
    *,
    log: Path,
    ready: Callable[[], bool],
    within_s: float = 60.0,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    cwd: Path | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server and its children until the block ends; on Linux it is killed with the test process, even by -9."""
    tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") and user is None else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*tied, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            user=user,
            cwd=cwd,
            start_new_session=True,
        )
    try:
        _wait(process, ready, log, within_s)
        yield process
    finally:
        process.send_signal(stop)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            state = f"ended with {process.returncode}" if process.poll() is not None else f"not ready in {within_s} s"
            raise RuntimeError(f"{process.args[-1]!r} {state}:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


def answers(port: int, path: str = "/") -> Callable[[], bool]:
    """A check that an HTTP server answers below 500 on this loopback port."""
    import httpx

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=2.0).status_code < 500
        except httpx.HTTPError:
            return False

    return ready
