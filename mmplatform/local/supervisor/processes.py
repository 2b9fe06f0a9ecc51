"""Starts a child process and ends it with all its descendants.

Each child leads its own session: Ctrl-C in the terminal reaches only the supervisor, which stops the children in its
order, and descendants stay in the child's process group. Three mechanisms end the children of a supervisor that was
killed with -9: the parent-death signal (Linux), the end of standard input (the broker), and the orphan reaper
(``mmplatform.local.supervisor.orphan_reaper``), which searches process groups and cookies.
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

from mmplatform.local.supervisor.forked import ForkedProcess

COOKIE_VARIABLE: Final = "MMPLATFORM_STACK"
"""Every process of one run carries this variable, so that descendants are recognised in any session."""

_PDEATHSIG_SCRIPT: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
# Python ignores the first two at its start, and a shell the third for what it starts in the background. Dagster does
# with SIGTERM as with SIGINT, so that it would never end.
for ignored in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
    signal.signal(ignored, signal.SIG_DFL)
if os.getppid() != int(sys.argv[1]):  # the parent ended before the line above
    os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""
_POLL_S: Final = 0.1
Process = subprocess.Popen[bytes] | ForkedProcess


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
    pipe_stdin: bool = False,
) -> Process:
    """Start a child that appends its output to ``log``. ``pipe_stdin``: its standard input ends with this process.

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
            env=inherit_environment(environment),
            cwd=cwd,
            stdin=subprocess.PIPE if pipe_stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def inherit_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with these variables: a user's own (AWS keys, proxies) reach the children."""
    return {**os.environ, **environment}


def _pdeathsig_command() -> list[str]:
    """Prefix of a command on Linux: requests the parent-death signal, then becomes the command.

    Not ``preexec_fn``: it forks the whole process, which is unsafe with threads and impossible with much memory.
    """
    if not sys.platform.startswith("linux"):
        return []
    return [sys.executable, "-I", "-S", "-c", _PDEATHSIG_SCRIPT, str(os.getpid())]


def send(process: Process, number: signal.Signals) -> None:
    """Signal the child itself; does nothing when it has ended."""
    with suppress(ProcessLookupError):
        process.send_signal(number)


def kill_group(leader: int) -> None:
    """Kill what is left of the process group that ``leader`` leads or led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def collect_exit(process: Process) -> None:
    """Close the pipe to its standard input and collect its exit status."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)


def cookie_value(data_dir: Path, token: str) -> str:
    """Value of the cookie variable: the data directory and the run."""
    return f"{data_dir}#{token}"


def find_by_cookie(matches: Callable[[str], bool]) -> list[psutil.Process]:
    """Find the processes whose cookie satisfies ``matches``, without this one."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        # Processes of other users, and those that end meanwhile, cannot be read and are not part of the stack.
        with suppress(psutil.Error, OSError):
            cookie = process.environ().get(COOKIE_VARIABLE)
            if cookie is not None and matches(cookie):
                found.append(process)
    return found


def find_in_groups(leaders: Iterable[int]) -> list[psutil.Process]:
    """Find the processes in the groups that ``leaders`` lead or led."""
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
    """End what ``find`` finds: SIGTERM, and SIGKILL after ``grace_s``, until it finds none; return the pids found."""
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
    """Kill processes that earlier runs on this data directory left behind; the caller has locked the directory."""
    prefix = cookie_value(data_dir, "")
    return terminate_all(lambda: find_by_cookie(lambda cookie: cookie.startswith(prefix)), grace_s=0.0)
