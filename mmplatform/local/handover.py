"""One process takes the place of another with the least possible pause: the step of a rolling restart.

The successor starts beside the one that runs, on a port of its own for ``/healthz``, and loads all that it needs. A
consumer then stands by: both have one name in the consumer group, and whoever joins under it last would fence the other
off in mid-batch. So the old one is asked to stop first, lands what it has in hand, commits, and ends; only then the new
one takes its turn, at the committed offsets. A gateway shares its port with its successor, and both serve for a moment.

When the successor does not get so far, the old one was never asked, and runs on.
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
from mmplatform.local import processes
from mmplatform.local.deaths import explain
from mmplatform.local.probes import STANDBY, STOPPED, HttpProbe, Probe, WordProbe
from mmplatform.local.stack import Service

_POLL_S: Final = 0.02
_PORT: Final = "MMPLATFORM_METRICS_PORT"
_STANDBY: Final = "MMPLATFORM_STANDBY"


@dataclass(frozen=True, slots=True)
class Handover:
    """What came of it: the new process, the row of the table that it runs by, and the seconds in which none worked."""

    process: processes.Process
    service: Service
    pause_s: float


def successor_of(service: Service) -> Service:
    """The row by which a successor runs, and its own successor after it: the two ports change places."""
    parts = urlsplit(service.metrics_url)
    port = parts.port or 0
    host = parts.netloc.rpartition(":")[0]  # not `hostname`: that drops the brackets of an IPv6 address
    url = f"http://{host}:{service.spare_port}"
    environment = {**service.environment, _PORT: str(service.spare_port)}
    return replace(
        service, environment=environment, probe=HttpProbe(f"{url}/healthz"), metrics_url=url, spare_port=port
    )


async def hand_over(
    old: processes.Process,
    service: Service,
    *,
    client: httpx.AsyncClient,
    log: Path,
    cookie: dict[str, str],
    bury: Callable[[processes.Process], None],
    born: Callable[[processes.Process], None],
) -> Handover:
    """Start a successor, wait until it is warm, and let it take over.

    Args:
        old: the process that runs.
        service: the row by which it runs.
        client: asks the successor how it is.
        log: where both write.
        cookie: by which every process of the stack is known.
        bury: called with the old one when it ended.
        born: called with the new one as soon as it is there.

    Raises:
        Unavailable: the successor did not get so far; the old one runs on.
    """
    after = successor_of(service)
    turn = {_STANDBY: "true"} if service.takes_turns else {}
    fresh = processes.spawn(after.command, environment={**after.environment, **turn, **cookie}, log=log, cwd=after.cwd)
    born(fresh)
    warm: Probe = WordProbe(f"{after.metrics_url}/healthz", STANDBY) if service.takes_turns else after.probe
    gone = WordProbe(f"{service.metrics_url}/healthz", STOPPED)
    try:
        await _until(fresh, warm, client, service.start_s)
        asked = time.monotonic()
        processes.send(old, signal.SIGTERM)
        await _done(old, gone, client, service.grace_s)
        if service.takes_turns:
            processes.send(fresh, signal.SIGUSR1)
        pause_s = time.monotonic() - asked if service.takes_turns else 0.0
        await _end(old, service.grace_s)
    except BaseException:  # the stack ends meanwhile, too
        bury(fresh)
        raise
    bury(old)
    return Handover(fresh, after, pause_s)


async def _until(process: processes.Process, warm: Probe, client: httpx.AsyncClient, within_s: float) -> None:
    give_up = time.monotonic() + within_s
    while not await warm.ready(client):
        if (code := process.poll()) is not None:
            raise Unavailable(f"the successor {explain(code)}; the one before it runs on")
        if time.monotonic() > give_up:
            raise Unavailable(f"the successor was not warm after {within_s:.0f} s; the one before it runs on")
        await asyncio.sleep(_POLL_S)


async def _done(process: processes.Process, gone: Probe, client: httpx.AsyncClient, grace_s: float) -> None:
    """Until it says that its work is committed and its consumer closed, or is no more."""
    give_up = time.monotonic() + grace_s
    while process.poll() is None and not await gone.ready(client):
        if time.monotonic() > give_up:
            processes.kill_group(process.pid)  # what was not committed the successor reads again
            return
        await asyncio.sleep(_POLL_S)


async def _end(process: processes.Process, grace_s: float) -> None:
    """Until it is no more; SIGKILL after the grace."""
    give_up = time.monotonic() + grace_s
    while process.poll() is None and time.monotonic() < give_up:  # noqa: ASYNC110 - a process has no event of its own
        await asyncio.sleep(_POLL_S)
    if process.poll() is None:
        processes.kill_group(process.pid)
