"""``python -m mmplatform.local.supervisor.fork_server PID``: imports the workers' modules once, and forks the workers.

Its standard input is a socket to the supervisor (``PID``). It writes ``ready`` after each stage of its imports, and
forks a worker for each line of JSON that it reads, between two imports too: it writes ``fork``, waits for ``go``, forks
and writes the pid. A worker is the child of a child that ends at once, so that it becomes a child of the supervisor (a
subreaper), with its exit status and its parent-death signal: docs/adr/0016.
"""

from __future__ import annotations

import gc
import json
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from ctypes import CDLL
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import IO, Final

from mmplatform.local.supervisor.preload import STAGES, count_threads, preload

READY: Final = b"ready\n"
FORK: Final = b"fork\n"
GO: Final = b"go\n"
_PR_SET_PDEATHSIG: Final = 1
_PARENT_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.002


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """A worker to fork: ``python -m mmplatform.worker NAME`` with all of its environment, and its log file."""

    command: Sequence[str]
    environment: dict[str, str]
    log: str
    cwd: str

    def encode(self) -> bytes:
        """As one line."""
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> int:
    """Serve until the supervisor closes the socket; in a forked worker: run it."""
    from setproctitle import getproctitle

    supervisor = int(sys.argv[1])
    getproctitle()  # it finds the memory of the title now; a worker replaces the environment, which lies behind it
    # Pandera imports it where it is installed, for tests of properties: 0.3 s in each deriver.
    sys.modules.setdefault("hypothesis", None)  # type: ignore[arg-type]
    gc.disable()  # what is imported is never garbage, and collections took 0.7 s of 9
    try:
        request = _serve()
    except _ThreadsError as error:
        sys.stderr.write(f"fork server: {error}: workers start by themselves\n")
        return 1
    if request is None:
        return 0
    gc.freeze()  # a collection that scanned what is shared would copy its pages
    gc.enable()
    _follow(supervisor)
    return _run_worker(request)


class _ThreadsError(Exception):
    """An import has started threads, which a fork would lose."""


def _serve() -> ForkRequest | None:
    """Fork a worker for each request; returns its request in the worker, and None in the server at the end.

    Raises:
        _ThreadsError: an import has started a thread.
    """
    with socket.socket(fileno=os.dup(0)) as control, control.makefile("rb") as lines:
        for line in _requests(control, lines):
            control.sendall(FORK)
            if lines.readline() != GO:
                return None
            reader, writer = os.pipe()
            parent = os.fork()
            if parent == 0:
                os.close(reader)
                worker = os.fork()
                if worker == 0:
                    os.close(writer)
                    return ForkRequest(**json.loads(line))
                os.write(writer, str(worker).encode())
                os._exit(0)
            os.close(writer)
            os.waitpid(parent, 0)  # once it has ended, the worker is a child of the supervisor
            pid = os.read(reader, 32)
            os.close(reader)
            control.sendall(pid + b"\n")
    return None


def _requests(control: socket.socket, lines: IO[bytes]) -> Iterator[bytes]:
    """Import everything, stage by stage; yields the request that waits after an import, in the end each that comes.

    Only one request waits at a time, so that ``lines`` has none in its buffer.
    """
    for stage in STAGES:
        for name in stage.modules:
            preload(name)
            if select.select([control], [], [], 0)[0]:
                if not (line := lines.readline()):
                    return
                yield line
        if (threads := count_threads()) != 1:
            raise _ThreadsError(f"an import has started {threads - 1} threads")
        control.sendall(READY)
    yield from lines


def _follow(supervisor: int) -> None:
    """Wait until this worker is the supervisor's child, then ask for a signal at its death."""
    give_up = time.monotonic() + _PARENT_TIMEOUT_S
    while os.getppid() != supervisor and time.monotonic() < give_up:
        time.sleep(_POLL_S)
    CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != supervisor:  # it has ended meanwhile
        os._exit(1)


def _run_worker(request: ForkRequest) -> int:
    """Become the worker: its session, environment, log and name."""
    from setproctitle import setproctitle

    os.setsid()
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.cwd)
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(request.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
        os.set_inheritable(target, True)
    os.close(null)
    os.close(log)
    setproctitle(" ".join(request.command))
    random.seed()
    module, name = request.command[-2:]
    sys.argv = [module, name]
    code: int = import_module(module).main([name])
    return code


if __name__ == "__main__":
    sys.exit(main())
