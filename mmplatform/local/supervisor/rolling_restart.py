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

_FILE: Final = "restart.json"
_POLL_S: Final = 0.2
_HEARD_S: Final = 10.0
"""How long the supervisor may take to say in the run file that it has begun."""


class Rolling:
    """The supervisor's side: at most one at a time. ``changed`` is told of every step."""

    def __init__(self, children: Mapping[str, Child], data_dir: Path, changed: Callable[[], None]) -> None:
        self._children = children
        self._data_dir = data_dir
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self.run: RollingRun | None = None

    def ask(self) -> None:
        """Begin what the file asks for, unless one is under way."""
        if self._task is not None and not self._task.done():
            return
        try:
            asked = json.loads((run_file.run_dir(self._data_dir) / _FILE).read_text())
            names = [name for name in asked["names"] if name in self._children]
        except (OSError, ValueError, KeyError, TypeError):
            return
        self.run = RollingRun(asked=str(asked.get("asked")), todo=tuple(names))
        self._changed()
        self._task = asyncio.get_running_loop().create_task(self._roll(names))

    def stop(self) -> None:
        """The stack ends: nothing more is replaced."""
        if self._task is not None:
            self._task.cancel()

    async def _roll(self, names: Sequence[str]) -> None:
        paused: dict[str, float] = {}
        for place, name in enumerate(names):
            try:
                paused[name] = round(await self._children[name].restart(), 3)
            except Exception as error:  # noqa: BLE001 - else who asked would wait for ever
                # What does not come up now would not come up in the others' places either.
                why = f"{error}" if isinstance(error, PlatformError) else f"{name}: {type(error).__name__}"
                self._tell(paused, names[place + 1 :], failed=why)
                return
            self._tell(paused, names[place + 1 :])

    def _tell(self, paused: Mapping[str, float], todo: Sequence[str], failed: str = "") -> None:
        before = self.run
        if before is not None:
            self.run = before.model_copy(update={"paused_s": dict(paused), "todo": tuple(todo), "failed": failed})
        self._changed()


def replaceable(run: run_file.StackRun) -> list[str]:
    """The services that can be replaced one by one, in the order in which that is done."""
    return [name for name, service in reversed(run.services.items()) if service.replaceable]


def ask_restart(data_dir: Path, names: Sequence[str], show: Callable[[str, float], None]) -> None:
    """Have services replaced one by one and wait for it; all that can be when none are named.

    ``show`` is told of each one, and for how long none worked in its place.

    Raises:
        Unavailable: no stack runs, another restart is under way, or one of them could not be replaced.
        Misconfigured: a name is no service that can be replaced.
    """
    run = run_file.running(data_dir)
    if run is None:
        raise Unavailable(f"no stack runs on {data_dir}: start it with `mmplatform up`")
    if run.rolling is not None and run.rolling.under_way:
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
    before = run.rolling.asked if run.rolling is not None else ""
    token = f"{os.getpid()}-{time.time_ns()}"
    (run_file.run_dir(data_dir) / _FILE).write_text(json.dumps({"asked": token, "names": wanted}))
    os.kill(run.pid, signal.SIGUSR2)
    told: set[str] = set()
    for rolling in _steps(data_dir, run.pid, token, before=before):
        for name, seconds in rolling.paused_s.items():
            if name not in told:
                told.add(name)
                show(name, seconds)
        if rolling.failed:
            raise Unavailable(f"{rolling.failed}; not restarted: {', '.join(n for n in wanted if n not in told)}")


def _steps(data_dir: Path, pid: int, asked: str, *, before: str, heard_s: float = _HEARD_S) -> Iterator[RollingRun]:
    """How it stands, again and again until it is over.

    Of two who ask at the same moment the supervisor hears one: the other must not wait for an answer.

    Raises:
        Unavailable: the stack ends meanwhile, it heard somebody else (not the one ``before``), or nothing.
    """
    over = heard = False
    give_up = time.monotonic() + heard_s
    while not over:
        time.sleep(_POLL_S)
        now = run_file.running(data_dir)
        if now is None or now.pid != pid:
            raise Unavailable("the stack ended meanwhile")
        if now.rolling is not None and now.rolling.asked == asked:
            heard, over = True, not now.rolling.under_way
            yield now.rolling
        elif heard or (now.rolling is not None and now.rolling.asked != before):
            raise Unavailable("somebody else asked for a restart at the same time: see `mmplatform status`, ask again")
        elif time.monotonic() > give_up:
            raise Unavailable(f"the stack has not begun within {heard_s:.0f} s: see `mmplatform status`, ask again")
