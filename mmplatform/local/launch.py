"""Bringing the stack up, in this process or in the background, and taking it down.

1. Take the lock: one stack for each data directory.
2. End what a crash left behind, so that no old process holds a port or a file.
3. Claim ports, lay out the table, run the supervisor.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from mmplatform.errors import Permanent, Unavailable
from mmplatform.local import log_files, run_file
from mmplatform.local.services import dagster_home
from mmplatform.local.services.port_leases import PortLeases
from mmplatform.local.services.services import Stack, StackOptions, plan_stack
from mmplatform.local.status.views import StackView
from mmplatform.local.supervisor import processes
from mmplatform.local.supervisor.restart_policy import RestartPolicy
from mmplatform.local.supervisor.supervisor import Supervisor
from mmplatform.settings import Settings

OPEN_FILES_TARGET: Final = 65_536
_POLL_S: Final = 0.2


def run_stack(
    settings: Settings,
    options: StackOptions,
    view: StackView,
    *,
    stack: Stack | None = None,
    policy: RestartPolicy | None = None,
) -> None:
    """Run the stack in this process until a signal ends it. ``stack``: a table of one's own in place of the usual.

    Raises:
        Permanent: another supervisor runs this data directory, or it cannot be written, or no process started.
        Unavailable: no free port.
        Misconfigured: the settings want of Dagster what is not installed.
    """
    data_dir = settings.data_dir.absolute()
    lock = run_file.StackLock(data_dir)
    lock.acquire()
    try:
        processes.kill_leftovers(data_dir)
        raise_file_limit()
        with PortLeases() as claims:
            table = stack or plan_stack(settings, options, claims.lease)
            if options.dagster:
                dagster_home.prepare(data_dir / "dagster", settings)
            asyncio.run(_supervise(table, data_dir, view, policy or RestartPolicy()))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise Permanent(f"cannot run the stack on {data_dir}: {error.strerror or error}{where}") from error
    finally:
        lock.release()


async def _supervise(table: Stack, data_dir: Path, view: StackView, policy: RestartPolicy) -> None:
    token = secrets.token_hex(8)
    await Supervisor(table, data_dir=data_dir, token=token, pid=os.getpid(), view=view, policy=policy).run()


def run_detached(
    settings: Settings, arguments: list[str], on_change: Callable[[run_file.StackRun], None]
) -> run_file.StackRun:
    """Start ``python -m mmplatform.local`` with ``arguments`` in the background; return when every service is settled.

    ``show`` is called with the run file's contents whenever they changed. Settled is not well: see ``StackRun.down``.

    Raises:
        Permanent: a stack runs there already, or the supervisor ended; the message has its last words.
    """
    data_dir = settings.data_dir.absolute()
    lock = run_file.StackLock(data_dir)
    lock.acquire()  # for its message, when somebody runs it already
    lock.release()
    log = log_files.log_path(data_dir, "supervisor")
    process = _start_supervisor(data_dir, arguments, log)
    seen: run_file.StackRun | None = None
    while process.poll() is None:
        run = run_file.read_running(data_dir)
        if run is not None and run.pid == process.pid and run != seen:
            seen = run
            on_change(run)
            if run.settled:
                process.returncode = 0  # it lives on without us: no warning that it was not waited for
                return run
        time.sleep(_POLL_S)
    log_tail = "\n".join(log_files.tail(log, 8))
    raise Permanent(f"the supervisor ended with exit code {process.returncode}; its last words in {log}:\n{log_tail}")


def _start_supervisor(data_dir: Path, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "mmplatform.local", *arguments],
                env={**os.environ, "MMPLATFORM_DATA_DIR": str(data_dir)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise Permanent(f"cannot start the supervisor, which logs to {log}: {error.strerror}") from None


def stop_stack(data_dir: Path, *, force: bool, timeout_s: float) -> int | None:
    """Stop the stack of this data directory and wait until it is gone; return its pid, None when none runs.

    Raises:
        Unavailable: it has not stopped within ``patience_s``.
    """
    run = run_file.read_running(data_dir)
    if run is None:
        return None
    with suppress(ProcessLookupError):
        os.kill(run.pid, signal.SIGTERM)
        if force:
            time.sleep(_POLL_S)  # two signals of one kind at the same instant would count as one
            os.kill(run.pid, signal.SIGTERM)
    give_up = time.monotonic() + timeout_s
    while run_file.is_locked(data_dir):
        if time.monotonic() > give_up:
            raise Unavailable(
                f"the stack (pid {run.pid}) has not stopped within {timeout_s:.0f} s: `mmplatform down --now` hurries"
                f" it; `kill -9 {run.pid}` is safe too, nothing that was acknowledged is lost"
            )
        time.sleep(_POLL_S)
    return run.pid


def retry_failed_services(data_dir: Path) -> list[str]:
    """Have what was given up started again; return its names.

    Raises:
        Unavailable: no stack runs.
    """
    run = run_file.read_running(data_dir)
    if run is None:
        raise Unavailable(f"no stack runs on {data_dir}: start it with `mmplatform up`")
    os.kill(run.pid, signal.SIGUSR1)
    return [name for name, service in run.services.items() if service.state in {"crash-loop", "restarting"}]


def dagster_location(near: Path) -> tuple[tuple[str, ...], Path | None]:
    """The arguments that name the code location to ``dagster dev``, and where to run it; empty when there is none.

    A ``workspace.yaml`` in ``near`` or beside the package (a checkout) comes first, then an installed ``definitions``.
    """
    for folder in (near, Path(__file__).parents[2]):
        if (folder / "workspace.yaml").is_file():
            return ("-w", str((folder / "workspace.yaml").absolute())), folder.absolute()
    if importlib.util.find_spec("definitions") is not None:
        return ("-m", "definitions"), None
    return (), None


def raise_file_limit() -> int:
    """Raise the limit of open files as far as the system lets us (the children inherit it); return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_TARGET if hard == resource.RLIM_INFINITY else min(OPEN_FILES_TARGET, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
