"""Rolling restart: replaces one worker after the other by a successor, while the others go on.

`mmplatform restart` writes the names into ``run/restart.json`` and sends SIGUSR2; the run file reports the progress.
The order is from the end of the data flow to its start, so that no producer is newer than its consumers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from mmplatform.errors import Misconfigured, PlatformError, Unavailable
from mmplatform.local import run_file
from mmplatform.local.run_file import RollingRun
from mmplatform.local.supervisor.child import Child

_REQUEST_FILE: Final = "restart.json"
_POLL_S: Final = 0.2
_ACCEPT_TIMEOUT_S: Final = 10.0
"""Time for the supervisor to report in the run file that it has started."""


class RollingRestart:
    """The supervisor's side: one restart at a time. ``on_change`` is called after every step."""

    def __init__(self, children: Mapping[str, Child], data_dir: Path, on_change: Callable[[], None]) -> None:
        self._children = children
        self._data_dir = data_dir
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self.run: RollingRun | None = None

    def begin(self) -> None:
        """Start the requested restart, unless one is in progress."""
        if self._task is not None and not self._task.done():
            return
        try:
            request = json.loads((run_file.run_dir(self._data_dir) / _REQUEST_FILE).read_text())
            names = [name for name in request["names"] if name in self._children]
        except (OSError, ValueError, KeyError, TypeError):
            return
        self.run = RollingRun(asked=str(request.get("asked")), todo=tuple(names))
        self._on_change()
        self._task = asyncio.get_running_loop().create_task(self._restart_each(names))

    def stop(self) -> None:
        """Replace no further services: the stack ends."""
        if self._task is not None:
            self._task.cancel()

    async def _restart_each(self, names: Sequence[str]) -> None:
        paused: dict[str, float] = {}
        for index, name in enumerate(names):
            try:
                paused[name] = round(await self._children[name].restart(), 3)
            except Exception as error:  # noqa: BLE001 - else the caller would wait for ever
                # A successor that does not start now would not start for the other services either.
                reason = f"{error}" if isinstance(error, PlatformError) else f"{name}: {type(error).__name__}"
                self._report(paused, names[index + 1 :], failed=reason)
                return
            self._report(paused, names[index + 1 :])

    def _report(self, paused: Mapping[str, float], todo: Sequence[str], failed: str = "") -> None:
        before = self.run
        if before is not None:
            self.run = before.model_copy(update={"paused_s": dict(paused), "todo": tuple(todo), "failed": failed})
        self._on_change()


def replaceable(run: run_file.StackRun) -> list[str]:
    """Services that can be replaced, in the order of replacement."""
    return [name for name, service in reversed(run.services.items()) if service.replaceable]


def request_restart(data_dir: Path, names: Sequence[str], on_restarted: Callable[[str, float], None]) -> None:
    """Request the replacement of services, all that are replaceable when none is named, and wait until it is done.

    ``on_restarted`` is called with each service and the seconds in which it was paused.

    Raises:
        Unavailable: no stack runs, another restart is in progress, or a service could not be replaced.
        Misconfigured: a name is not a replaceable service.
    """
    run = run_file.read_running(data_dir)
    if run is None:
        raise Unavailable(f"no stack runs on {data_dir}: start it with `mmplatform up`")
    if run.rolling is not None and run.rolling.in_progress:
        raise Unavailable(f"a restart is in progress: {', '.join(run.rolling.todo)} are still to come")
    possible = replaceable(run)
    for name in names:
        if name not in possible:
            raise Misconfigured(f"{name} has no rolling restart; these services have one: {', '.join(possible)}")
    wanted = [name for name in possible if name in names] if names else possible
    if not wanted:
        # A supervisor of an older release does not handle the signal, and would end by it.
        raise Unavailable("no service of this stack has a rolling restart: `mmplatform down`, then `mmplatform up`")
    previous = run.rolling.asked if run.rolling is not None else ""
    token = f"{os.getpid()}-{time.time_ns()}"
    (run_file.run_dir(data_dir) / _REQUEST_FILE).write_text(json.dumps({"asked": token, "names": wanted}))
    os.kill(run.pid, signal.SIGUSR2)
    reported: set[str] = set()
    for rolling in _follow(data_dir, run.pid, token, previous=previous):
        for name, seconds in rolling.paused_s.items():
            if name not in reported:
                reported.add(name)
                on_restarted(name, seconds)
        if rolling.failed:
            raise Unavailable(f"{rolling.failed}; not restarted: {', '.join(n for n in wanted if n not in reported)}")


def _follow(
    data_dir: Path, pid: int, token: str, *, previous: str, accept_timeout_s: float = _ACCEPT_TIMEOUT_S
) -> Iterator[RollingRun]:
    """Yield the progress until the restart is over.

    Of two requests at the same moment the supervisor accepts one: the other caller must not wait for ever.

    Raises:
        Unavailable: the stack ended, or accepted another request (not ``previous``) or none.
    """
    over = accepted = False
    give_up = time.monotonic() + accept_timeout_s
    while not over:
        time.sleep(_POLL_S)
        now = run_file.read_running(data_dir)
        if now is None or now.pid != pid:
            raise Unavailable("the stack ended meanwhile")
        if now.rolling is not None and now.rolling.asked == token:
            accepted, over = True, not now.rolling.in_progress
            yield now.rolling
        elif accepted or (now.rolling is not None and now.rolling.asked != previous):
            raise Unavailable("another restart was requested at the same time: see `mmplatform status`, then try again")
        elif time.monotonic() > give_up:
            raise Unavailable(
                f"the restart did not start within {accept_timeout_s:.0f} s: see `mmplatform status`, then retry"
            )
