"""Handover: replaces one process by its successor with the shortest possible pause, as a step of a rolling restart.

The successor starts while the old process runs, on its own port for ``/healthz``, and loads its models. A consumer then
stands by: both have one ``group.instance.id``, and the last to join would fence the other off in mid-batch. So the old
consumer is stopped first: it lands its batch, commits and ends. Then the successor joins, at the committed offsets. A
gateway shares its port with its successor, and both serve for a moment.

When the successor fails before that, the old process was never stopped and runs on. The handover ends when the
successor works: it has its topic partitions and their state, and still runs a moment later.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from mmplatform.errors import Unavailable
from mmplatform.local.services.probes import STANDBY, STOPPED, HttpProbe, Probe, StatusTextProbe
from mmplatform.local.services.services import Service
from mmplatform.local.supervisor import processes
from mmplatform.local.supervisor.exit_reasons import describe_exit

_POLL_S: Final = 0.02
_STEADY_S: Final = 1.0
"""A successor that fails at its first record does so within this time, before the next service is replaced."""

_PORT_VARIABLE: Final = "MMPLATFORM_METRICS_PORT"
_STANDBY_VARIABLE: Final = "MMPLATFORM_STANDBY"


@dataclass(frozen=True, slots=True)
class HandoverResult:
    """Result of a handover: the new process, its service, and the seconds in which neither process worked.

    ``problem`` says why the new process does not work; empty when it does.
    """

    process: processes.Process
    service: Service
    pause_s: float
    problem: str = ""


def successor_service(service: Service) -> Service:
    """Service with its two ports swapped: its successor runs by it."""
    parts = urlsplit(service.metrics_url)
    port = parts.port or 0
    host = parts.netloc.rpartition(":")[0]  # not `hostname`: that drops the brackets of an IPv6 address
    url = f"http://{host}:{service.successor_port}"
    environment = {**service.environment, _PORT_VARIABLE: str(service.successor_port)}
    return replace(
        service, environment=environment, probe=HttpProbe(f"{url}/healthz"), metrics_url=url, successor_port=port
    )


async def hand_over(
    old: processes.Process,
    service: Service,
    *,
    client: httpx.AsyncClient,
    log: Path,
    cookie: dict[str, str],
    reap: Callable[[processes.Process], None],
    on_started: Callable[[processes.Process], None],
) -> HandoverResult:
    """Start a successor, wait until it is warm, stop the old process, and wait until the successor works.

    Args:
        old: the process that runs.
        service: the service that it runs.
        client: probes both processes.
        log: log file of both.
        cookie: the environment variable that every process of the stack carries.
        reap: called with the old process when it ended.
        on_started: called with the new process as soon as it was started.

    Raises:
        Unavailable: the successor did not become warm; the old process runs on, unless it ended meanwhile.
    """
    successor = successor_service(service)
    standby = {_STANDBY_VARIABLE: "true"} if service.exclusive else {}
    new = processes.spawn(
        successor.command, environment={**successor.environment, **standby, **cookie}, log=log, cwd=successor.cwd
    )
    on_started(new)
    # Each of two gateways gets some of the connections: one that has not read the lag yet would accept them all.
    ready = HttpProbe(f"{successor.metrics_url}/readyz")
    warm: Probe = StatusTextProbe(f"{successor.metrics_url}/healthz", STANDBY) if service.exclusive else ready
    stopped = StatusTextProbe(f"{service.metrics_url}/healthz", STOPPED)
    try:
        idle_since = await _wait_until_warm(new, warm, client, service.start_timeout_s, old)
        processes.send(old, signal.SIGTERM)
        await _wait_until_committed(old, stopped, client, service.grace_s)
        pause_s, problem = 0.0, ""
        if service.exclusive:
            processes.send(new, signal.SIGUSR1)
            working_since, problem = await _wait_until_working(new, ready, client, service.start_timeout_s)
            pause_s = working_since - idle_since
        await _wait_until_ended(old, service.grace_s)
    except BaseException:  # also when the stack ends meanwhile
        reap(new)
        raise
    reap(old)
    return HandoverResult(new, successor, pause_s, problem)


async def _wait_until_warm(
    new: processes.Process, warm: Probe, client: httpx.AsyncClient, timeout_s: float, old: processes.Process
) -> float:
    """Wait until it is warm; return since when no process works: from now on, or since the old one ended."""
    give_up, died = time.monotonic() + timeout_s, None
    while not await warm.ready(client):
        if died is None and old.poll() is not None:
            died = time.monotonic()  # the successor is ready sooner than a process that would have to start now
        old_state = "runs on" if died is None else "ended meanwhile"
        if (code := new.poll()) is not None:
            raise Unavailable(f"the successor {describe_exit(code)}; the old process {old_state}")
        if time.monotonic() > give_up:
            raise Unavailable(f"the successor was not warm after {timeout_s:.0f} s; the old process {old_state}")
        await asyncio.sleep(_POLL_S)
    return died if died is not None else time.monotonic()


async def _wait_until_working(
    new: processes.Process, ready: Probe, client: httpx.AsyncClient, timeout_s: float
) -> tuple[float, str]:
    """Wait until it works for a moment; return since when, and the problem when it does not."""
    give_up, since = time.monotonic() + timeout_s, None
    while since is None or time.monotonic() < since + _STEADY_S:
        if (code := new.poll()) is not None:
            return since or time.monotonic(), f"the successor {describe_exit(code)} after the old process had stopped"
        if since is None and await ready.ready(client):
            since = time.monotonic()
        if since is None and time.monotonic() > give_up:
            return time.monotonic(), f"the successor did not work {timeout_s:.0f} s after the old process had stopped"
        await asyncio.sleep(_POLL_S)
    return since, ""


async def _wait_until_committed(
    process: processes.Process, stopped: Probe, client: httpx.AsyncClient, grace_s: float
) -> None:
    """Wait until it reports that its work is committed and its consumer closed, or has ended."""
    give_up = time.monotonic() + grace_s
    while process.poll() is None and not await stopped.ready(client):
        if time.monotonic() > give_up:
            processes.kill_group(process.pid)  # the successor reads again what was not committed
            return
        await asyncio.sleep(_POLL_S)


async def _wait_until_ended(process: processes.Process, grace_s: float) -> None:
    """Wait until it has ended; SIGKILL after the grace period."""
    give_up = time.monotonic() + grace_s
    while process.poll() is None and time.monotonic() < give_up:  # noqa: ASYNC110 - a process has no event of its own
        await asyncio.sleep(_POLL_S)
    if process.poll() is None:
        processes.kill_group(process.pid)
