"""Starting a child and ending it with everything that it started.

Each child leads a session of its own: Ctrl-C in the terminal reaches the supervisor only, which then stops the children
in its own order; and what a child starts stays in its process group. Three nets catch the children of a supervisor that
was killed with -9: the parent-death signal (Linux), the end of standard input (the broker), and the leash
(``mmplatform.local.supervisor.orphan_reaper``), which sweeps groups and cookies.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from mmplatform.local.services.environment import COOKIE_VARIABLE

_PDEATHSIG_SCRIPT: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, at its own start
    signal.signal(ignored, signal.SIG_DFL)
if os.getppid() != int(sys.argv[1]):  # it died before the line above
    os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""
_POLL_S: Final = 0.1
Process = subprocess.Popen[bytes]


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
    pipe_stdin: bool = False,
) -> Process:
    """Start a child that appends its output to ``log``. ``hold_stdin``: its standard input ends when we end.

    Must be called in the main thread: the kernel sends the parent-death signal when the *thread* that forked ends.

    Raises:
        OSError: the program cannot be started.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [*_pdeathsig_command(), *command],
            env={**os.environ, **environment},
            cwd=cwd,
            stdin=subprocess.PIPE if pipe_stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _pdeathsig_command() -> list[str]:
    """What a command is started with on Linux: it asks for the parent-death signal, then becomes the command.

    Not ``preexec_fn``: that forks the whole of us, which threads make unsafe and a large address space impossible.
    """
    if not sys.platform.startswith("linux"):
        return []
    return [sys.executable, "-I", "-S", "-c", _PDEATHSIG_SCRIPT, str(os.getpid())]


def send(process: Process, number: signal.Signals) -> None:
    """Signal the child itself; nothing happens when it has ended."""
    with suppress(ProcessLookupError):
        process.send_signal(number)


def kill_group(leader: int) -> None:
    """Kill whatever is left of the process group that ``leader`` leads or led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def collect_exit(process: Process) -> None:
    """Close our end of its standard input and collect its exit status."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)


def cookie_value(data_dir: Path, token: str) -> str:
    """The value of the cookie variable: which data directory, and which run of it."""
    return f"{data_dir}#{token}"


def find_by_cookie(matches: Callable[[str], bool]) -> list[psutil.Process]:
    """The processes whose cookie satisfies ``matches``, ourselves left out."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        # Other users' processes, and those that end meanwhile, cannot be read and are none of ours.
        with suppress(psutil.Error, OSError):
            cookie = process.environ().get(COOKIE_VARIABLE)
            if cookie is not None and matches(cookie):
                found.append(process)
    return found


def find_in_groups(leaders: Iterable[int]) -> list[psutil.Process]:
    """The processes in the groups that ``leaders`` lead or led."""
    wanted = set(leaders)
    found: list[psutil.Process] = []
    if not wanted:
        return found
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getpgid(process.pid) in wanted and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def terminate_all(find: Callable[[], list[psutil.Process]], *, grace_s: float, timeout_s: float = 10.0) -> list[int]:
    """End what ``find`` finds: SIGTERM, and SIGKILL after ``grace_s``, until nothing is found; return the pids seen."""
    started_at = time.monotonic()
    seen: dict[int, None] = {}
    terminated: set[int] = set()
    while time.monotonic() < started_at + grace_s + timeout_s:
        found = [process for process in find() if process.is_running()]
        if not found:
            break
        overdue = time.monotonic() >= started_at + grace_s
        for process in found:
            seen[process.pid] = None
            with suppress(psutil.Error):
                if overdue:
                    process.kill()
                elif process.pid not in terminated:
                    terminated.add(process.pid)
                    process.terminate()
        time.sleep(_POLL_S)
    return list(seen)


def kill_leftovers(data_dir: Path) -> list[int]:
    """Kill what earlier runs on this data directory left behind; the caller holds the stack's lock."""
    prefix = cookie_value(data_dir, "")
    return terminate_all(lambda: find_by_cookie(lambda cookie: cookie.startswith(prefix)), grace_s=0.0)
