"""Starts the stack, in this process or in the background, and stops it.

1. Lock the data directory: it has one stack.
2. Kill processes that a crash left behind, so that none keeps a port or a file.
3. Lease ports, plan the services, run the supervisor.
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
from mmplatform.settings.data_format import check_data_format
from mmplatform.settings.private_files import restrict_data_dir

OPEN_FILES_TARGET: Final = 65_536
START_TIMEOUT_S: Final = 900.0
"""The slowest service has 300 s to become ready, and is started three times at least before it is given up."""

WAIT_NOTE_S: Final = 10.0
_POLL_S: Final = 0.2


def run_stack(
    settings: Settings,
    options: StackOptions,
    view: StackView,
    *,
    stack: Stack | None = None,
    policy: RestartPolicy | None = None,
) -> None:
    """Run the stack in this process until a signal ends it. ``stack`` replaces the planned services.

    Raises:
        Permanent: another supervisor runs this data directory, it is of another format or cannot be written, or no
            process started.
        Unavailable: no free port.
        Misconfigured: the settings need a Dagster package that is not installed.
    """
    data_dir = settings.data_dir.absolute()
    restrict_data_dir(data_dir)
    lock = run_file.StackLock(data_dir)
    lock.acquire()
    try:
        check_data_format(data_dir)
        processes.kill_leftovers(data_dir)
        raise_file_limit()
        with PortLeases() as leases:
            planned = stack or plan_stack(settings, options, leases.lease)
            if options.dagster:
                dagster_home.prepare(data_dir / "dagster", settings)
            asyncio.run(_supervise(planned, data_dir, view, policy or RestartPolicy()))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise Permanent(f"cannot run the stack on {data_dir}: {error.strerror or error}{where}") from error
    finally:
        lock.release()


async def _supervise(stack: Stack, data_dir: Path, view: StackView, policy: RestartPolicy) -> None:
    token = secrets.token_hex(8)
    await Supervisor(stack, data_dir=data_dir, token=token, pid=os.getpid(), view=view, policy=policy).run()


def run_detached(
    settings: Settings,
    arguments: list[str],
    on_change: Callable[[run_file.StackRun], None],
    *,
    on_wait: Callable[[run_file.StackRun, float], None] = lambda _run, _seconds: None,
    timeout_s: float = START_TIMEOUT_S,
) -> run_file.StackRun:
    """Start ``python -m mmplatform.local`` with ``arguments`` in the background; return when every service is settled.

    ``on_change`` is called with each new version of the run file, ``on_wait`` every few seconds with the seconds since
    the start. A settled service may be down: see ``StackRun.down_services``.

    Raises:
        Permanent: a stack runs there already, or the supervisor ended; the message has its last log lines.
        Unavailable: services have not settled within ``timeout_s``; the message has their logs, and the stack runs on.
    """
    data_dir = settings.data_dir.absolute()
    lock = run_file.StackLock(data_dir)
    lock.acquire()  # raises when a stack runs already
    lock.release()
    log = log_files.log_path(data_dir, "supervisor")
    process = _start_supervisor(data_dir, arguments, log)
    seen: run_file.StackRun | None = None
    started_at = waits_noted_at = time.monotonic()
    while process.poll() is None:
        run = run_file.read_running(data_dir)
        if run is not None and run.pid == process.pid and run != seen:
            seen = run
            on_change(run)
            if run.settled:
                process.returncode = 0  # the supervisor runs on: no warning that it was not waited for
                return run
        now = time.monotonic()
        if now > started_at + timeout_s:
            process.returncode = 0
            raise Unavailable(_pending_message(seen, log, timeout_s))
        if seen is not None and now > waits_noted_at + WAIT_NOTE_S:
            waits_noted_at = now
            on_wait(seen, now - started_at)
        time.sleep(_POLL_S)
    log_tail = "\n".join(log_files.tail(log, 8))
    raise Permanent(f"the supervisor ended with exit code {process.returncode}; the last lines of {log}:\n{log_tail}")


def _pending_message(run: run_file.StackRun | None, supervisor_log: Path, timeout_s: float) -> str:
    pending = run.pending_services if run is not None else {}
    rows = [f"{name} ({service.state}), log {service.log}" for name, service in pending.items()]
    return (
        f"not ready after {timeout_s:.0f} s: {'; '.join(rows) or f'the supervisor, log {supervisor_log}'}. "
        "The stack runs on: see `mmplatform status`, wait longer with --timeout, or stop it with `mmplatform down`"
    )


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
    """Stop the stack of this data directory and wait until it has ended; return its pid, None when none runs.

    Raises:
        Unavailable: it has not stopped within ``timeout_s``.
    """
    run = run_file.read_running(data_dir)
    if run is None:
        return None
    with suppress(ProcessLookupError):
        os.kill(run.pid, signal.SIGTERM)
        if force:
            time.sleep(_POLL_S)  # two signals of one kind at the same instant count as one
            os.kill(run.pid, signal.SIGTERM)
    give_up = time.monotonic() + timeout_s
    while run_file.is_locked(data_dir):
        if time.monotonic() > give_up:
            raise Unavailable(
                f"the stack (pid {run.pid}) has not stopped within {timeout_s:.0f} s: hurry it with"
                f" `mmplatform down --now`; `kill -9 {run.pid}` is safe too, no acknowledged event is lost"
            )
        time.sleep(_POLL_S)
    return run.pid


def retry_failed_services(data_dir: Path) -> list[str]:
    """Signal the supervisor to start services that it gave up; return their names.

    Raises:
        Unavailable: no stack runs.
    """
    run = run_file.read_running(data_dir)
    if run is None:
        raise Unavailable(f"no stack runs on {data_dir}: start it with `mmplatform up`")
    os.kill(run.pid, signal.SIGUSR1)
    return [name for name, service in run.services.items() if service.state in {"crash-loop", "restarting"}]


def dagster_location(near: Path) -> tuple[tuple[str, ...], Path | None]:
    """Arguments of Dagster for the code location, and its working directory; empty when there is none.

    A ``workspace.yaml`` in ``near`` or next to the package (a checkout) is preferred to an installed ``definitions``.
    """
    for folder in (near, Path(__file__).parents[2]):
        if (folder / "workspace.yaml").is_file():
            return ("-w", str((folder / "workspace.yaml").absolute())), folder.absolute()
    if importlib.util.find_spec("definitions") is not None:
        return ("-m", "definitions"), None
    return (), None


def raise_file_limit() -> int:
    """Raise the limit of open files as far as the system allows; return it. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_TARGET if hard == resource.RLIM_INFINITY else min(OPEN_FILES_TARGET, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
