"""A rolling restart: one worker after the other is replaced by a successor, while the others go on.

Who asks (`mmplatform restart`) writes the names into ``run/restart.json`` and sends SIGUSR2; how it goes stands in the
run file. From the end of the way of the data to its beginning, so that nobody writes to someone who is older.
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
"""How long the supervisor may take to say in the run file that it has begun."""


class RollingRestart:
    """The supervisor's side: at most one at a time. ``changed`` is told of every step."""

    def __init__(self, children: Mapping[str, Child], data_dir: Path, on_change: Callable[[], None]) -> None:
        self._children = children
        self._data_dir = data_dir
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self.run: RollingRun | None = None

    def begin(self) -> None:
        """Begin what the file asks for, unless one is under way."""
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
        """The stack ends: nothing more is replaced."""
        if self._task is not None:
            self._task.cancel()

    async def _restart_each(self, names: Sequence[str]) -> None:
        paused: dict[str, float] = {}
        for index, name in enumerate(names):
            try:
                paused[name] = round(await self._children[name].restart(), 3)
            except Exception as error:  # noqa: BLE001 - else who asked would wait for ever
                # What does not come up now would not come up in the others' places either.
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
    """The services that can be replaced one by one, in the order in which that is done."""
    return [name for name, service in reversed(run.services.items()) if service.replaceable]


def request_restart(data_dir: Path, names: Sequence[str], on_restarted: Callable[[str, float], None]) -> None:
    """Have services replaced one by one and wait for it; all that can be when none are named.

    ``show`` is told of each one, and for how long none worked in its place.

    Raises:
        Unavailable: no stack runs, another restart is under way, or one of them could not be replaced.
        Misconfigured: a name is no service that can be replaced.
    """
    run = run_file.read_running(data_dir)
    if run is None:
        raise Unavailable(f"no stack runs on {data_dir}: start it with `mmplatform up`")
    if run.rolling is not None and run.rolling.in_progress:
        raise Unavailable(f"a restart is under way: {', '.join(run.rolling.todo)} are still to come")
    possible = replaceable(run)
    for name in names:
        if name not in possible:
            raise Misconfigured(f"{name} cannot be restarted beside itself: there are {', '.join(possible)}")
    wanted = [name for name in possible if name in names] if names else possible
    if not wanted:
        # A supervisor of an older release does not know the signal, and would die of it.
        raise Unavailable(
            "nothing of this stack can be restarted beside itself: `mmplatform down`, then `mmplatform up`"
        )
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
    """How it stands, again and again until it is over.

    Of two who ask at the same moment the supervisor hears one: the other must not wait for an answer.

    Raises:
        Unavailable: the stack ends meanwhile, it heard somebody else (not the one ``before``), or nothing.
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
            raise Unavailable("somebody else asked for a restart at the same time: see `mmplatform status`, ask again")
        elif time.monotonic() > give_up:
            raise Unavailable(
                f"the stack has not begun within {accept_timeout_s:.0f} s: see `mmplatform status`, ask again"
            )
