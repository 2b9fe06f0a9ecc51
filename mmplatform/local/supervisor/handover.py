"""One process takes the place of another with the least possible pause: the step of a rolling restart.

The successor starts beside the one that runs, on a port of its own for ``/healthz``, and loads all that it needs. A
consumer then stands by: both have one name in the consumer group, and whoever joins under it last would fence the other
off in mid-batch. So the old one is asked to stop first, lands what it has in hand, commits, and ends; only then the new
one takes its turn, at the committed offsets. A gateway shares its port with its successor, and both serve for a moment.

When the successor does not get so far, the old one was never asked, and runs on. It is over only when the successor is
at work: it has its topic partitions and their state, and is still there a moment later.
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
"""Code that fails at its first record does so within this: then it must not come into the next one's place, too."""

_PORT_VARIABLE: Final = "MMPLATFORM_METRICS_PORT"
_STANDBY_VARIABLE: Final = "MMPLATFORM_STANDBY"


@dataclass(frozen=True, slots=True)
class HandoverResult:
    """What came of it: the new process, the row of the table that it runs by, and the seconds in which none worked.

    ``trouble`` says why the new one, whose turn it is, does not work; empty when it does.
    """

    process: processes.Process
    service: Service
    pause_s: float
    problem: str = ""


def successor_service(service: Service) -> Service:
    """The row by which a successor runs, and its own successor after it: the two ports change places."""
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
    """Start a successor, wait until it is warm, let it take over, and see it work.

    Args:
        old: the process that runs.
        service: the row by which it runs.
        client: asks the successor how it is.
        log: where both write.
        cookie: by which every process of the stack is known.
        reap: called with the old process when it ended.
        on_started: called with the new process as soon as it was started.

    Raises:
        Unavailable: the successor did not get so far; the old one runs on, unless it died meanwhile.
    """
    successor = successor_service(service)
    standby = {_STANDBY_VARIABLE: "true"} if service.exclusive else {}
    new = processes.spawn(
        successor.command, environment={**successor.environment, **standby, **cookie}, log=log, cwd=successor.cwd
    )
    on_started(new)
    # Of two gateways each gets some of the connections: one that does not know the lag yet would take all it gets.
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
    except BaseException:  # the stack ends meanwhile, too
        reap(new)
        raise
    reap(old)
    return HandoverResult(new, successor, pause_s, problem)


async def _wait_until_warm(
    new: processes.Process, warm: Probe, client: httpx.AsyncClient, timeout_s: float, old: processes.Process
) -> float:
    """Until it is warm; returns since when nobody works: from now on, or since the old one died meanwhile."""
    give_up, died = time.monotonic() + timeout_s, None
    while not await warm.ready(client):
        if died is None and old.poll() is not None:
            died = time.monotonic()  # the new one comes sooner than another one that would have to begin now
        fate = "runs on" if died is None else "died meanwhile"
        if (code := new.poll()) is not None:
            raise Unavailable(f"the successor {describe_exit(code)}; the one before it {fate}")
        if time.monotonic() > give_up:
            raise Unavailable(f"the successor was not warm after {timeout_s:.0f} s; the one before it {fate}")
        await asyncio.sleep(_POLL_S)
    return died if died is not None else time.monotonic()


async def _wait_until_working(
    new: processes.Process, ready: Probe, client: httpx.AsyncClient, timeout_s: float
) -> tuple[float, str]:
    """Until it works and does so for a moment: since when, and what is wrong when it does not."""
    give_up, since = time.monotonic() + timeout_s, None
    while since is None or time.monotonic() < since + _STEADY_S:
        if (code := new.poll()) is not None:
            return since or time.monotonic(), f"the successor {describe_exit(code)} when its turn had come"
        if since is None and await ready.ready(client):
            since = time.monotonic()
        if since is None and time.monotonic() > give_up:
            return time.monotonic(), f"the successor was not at work {timeout_s:.0f} s after its turn had come"
        await asyncio.sleep(_POLL_S)
    return since, ""


async def _wait_until_committed(
    process: processes.Process, stopped: Probe, client: httpx.AsyncClient, grace_s: float
) -> None:
    """Until it says that its work is committed and its consumer closed, or is no more."""
    give_up = time.monotonic() + grace_s
    while process.poll() is None and not await stopped.ready(client):
        if time.monotonic() > give_up:
            processes.kill_group(process.pid)  # what was not committed the successor reads again
            return
        await asyncio.sleep(_POLL_S)


async def _wait_until_ended(process: processes.Process, grace_s: float) -> None:
    """Until it is no more; SIGKILL after the grace."""
    give_up = time.monotonic() + grace_s
    while process.poll() is None and time.monotonic() < give_up:  # noqa: ASYNC110 - a process has no event of its own
        await asyncio.sleep(_POLL_S)
    if process.poll() is None:
        processes.kill_group(process.pid)
