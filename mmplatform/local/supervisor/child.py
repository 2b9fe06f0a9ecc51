"""One child of the supervisor: waits for what it needs, runs, is watched, and is started again when it dies.

States: ``waiting`` (for what it needs) → ``starting`` → ``ready`` → (it dies) ``restarting`` → ``starting`` …, or
``crash-loop`` after too many deaths, until it is retried; whoever needs it is ``blocked`` so long. At the end
``stopping`` → ``stopped``.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import httpx

from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from mmplatform.local import log_files
from mmplatform.local.services.services import Service
from mmplatform.local.supervisor import processes
from mmplatform.local.supervisor.exit_reasons import explain, hint
from mmplatform.local.supervisor.handover import hand_over
from mmplatform.local.supervisor.liveness import Liveness
from mmplatform.local.supervisor.orphan_reaper import Leash
from mmplatform.local.supervisor.restart_policy import Deaths, RestartPolicy

State = Literal["waiting", "blocked", "starting", "ready", "restarting", "crash-loop", "stopping", "stopped"]
Note = Callable[[str, str, str], None]
"""Told of every change: (service, what happened, level: ``info``, ``warning`` or ``error``)."""

_POLL_S: Final = 0.1
_LAST_WORDS: Final = 4


class Child:
    """A service and the process that runs it.

    ``ready`` is set while it is ready; ``settled`` once it was ready or hopeless (given up, or blocked) for the first
    time, so that nobody waits for it for ever.
    """

    def __init__(
        self,
        service: Service,
        *,
        log: Path,
        cookie: dict[str, str],
        leash: Leash,
        client: httpx.AsyncClient,
        policy: RestartPolicy,
        note: Note,
    ) -> None:
        self.service = service
        self.log = log
        self.state: State = "waiting"
        self.restarts = 0
        self.trouble = ""
        self.ready = asyncio.Event()
        self.settled = asyncio.Event()
        self._cookie = cookie
        self._leash = leash
        self._client = client
        self._deaths = Deaths(policy)
        self._tell = note
        self._process: processes.Process | None = None
        self._ready_since: float | None = None
        self._retry = asyncio.Event()
        self._asked: asyncio.Future[float] | None = None

    @property
    def pid(self) -> int | None:
        """The running process, if there is one."""
        return self._process.pid if self._process is not None else None

    async def run(self, needs: Sequence[Child], after: Sequence[Child]) -> None:
        """Keep the service running until this task is cancelled (then call :meth:`stop`)."""
        for child in after:
            await child.settled.wait()
        while True:
            await self._wait_for(needs)
            reason = await self._live()
            await self._rest(reason)

    async def restart(self) -> float:
        """Put a new process in the place of the one that runs; the seconds in which neither of them worked.

        Raises:
            Unavailable: it is not ready, or its successor does not become so: then the old one runs on.
        """
        if not self.ready.is_set() or self._asked is not None:
            raise Unavailable(f"{self.service.name} is {self.state}: only what is ready can be restarted")
        self._asked = asyncio.get_running_loop().create_future()
        return await self._asked

    def retry(self) -> None:
        """Start again now, if it waits for its next start or was given up."""
        if self.state in {"crash-loop", "restarting"}:
            self._deaths.forget()
            self._retry.set()

    async def stop(self, hurry: asyncio.Event) -> None:
        """SIGTERM, and SIGKILL to the whole group after the grace, or at once when ``hurry`` is set."""
        process = self._process
        if process is not None:
            self._to("stopping", "stopping")
            processes.send(process, signal.SIGTERM)
            give_up = time.monotonic() + self.service.grace_s
            while process.poll() is None and time.monotonic() < give_up and not hurry.is_set():  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S / 2)
            if process.poll() is None:
                self._tell(self.service.name, f"did not stop within {self.service.grace_s:.0f} s: killed", "warning")
            self._bury(process)
        self._to("stopped", "stopped")

    async def _wait_for(self, needs: Sequence[Child]) -> None:
        """Wait until all are ready; blocked, and so settled, while one of them is hopeless."""
        told = ""
        while missing := [child for child in needs if not child.ready.is_set()]:
            hopeless = [child.service.name for child in missing if child.state in {"crash-loop", "blocked"}]
            what = f"waits for {', '.join(hopeless or [child.service.name for child in missing])}"
            if hopeless:
                what += ", given up: mend it, then `mmplatform retry`"
            if what != told:
                told = what
                self.trouble = what if hopeless else ""
                self._to("blocked" if hopeless else "waiting", what, "error" if hopeless else "info")
            if hopeless:
                self.settled.set()
            await asyncio.sleep(_POLL_S)
        if self.state == "blocked":
            self.trouble = ""

    async def _live(self) -> str:
        """Start it and watch it; return how it ended."""
        try:
            log_files.mark_start(self.log, self.service.name, utc_now())
            self._process = process = processes.spawn(
                self.service.command,
                environment={**self.service.environment, **self._cookie},
                log=self.log,
                cwd=self.service.cwd,
                hold_stdin=self.service.hold_stdin,
            )
        except OSError as error:
            return f"could not be started: {error.strerror}"
        self._leash.add(process.pid)
        self._to("starting", f"started, pid {process.pid}")
        began = time.monotonic()
        killed, liveness = "", self._liveness()
        while (code := process.poll()) is None:
            if self._asked is not None and self.ready.is_set():
                process = await self._hand_over(process, self._asked)
                began, liveness, killed = time.monotonic(), self._liveness(), ""
            if not self.ready.is_set():
                if await self.service.probe.ready(self._client) and process.poll() is None:
                    self._now_ready(time.monotonic() - began)
                    liveness = self._liveness()
                elif not killed and time.monotonic() > began + self.service.start_s:
                    killed = f"was not ready after {self.service.start_s:.0f} s"
                    processes.kill_group(process.pid)
            elif not killed and (why := await liveness.hangs(self._client)):
                killed = f"hung and was killed: {why}"
                processes.kill_group(process.pid)
            await asyncio.sleep(_POLL_S)
        self._bury(process)
        if self._asked is not None:
            _answer(self._asked, Unavailable(f"{self.service.name} died: {explain(code)}"))
            self._asked = None
        return killed or explain(code)

    def _liveness(self) -> Liveness:
        """Of the process that runs now: a successor has another page."""
        return Liveness(self.service.alive_url, says_so=bool(self.service.metrics_url))

    async def _hand_over(self, old: processes.Process, asked: asyncio.Future[float]) -> processes.Process:
        """The process that runs from here on; a death while the new one warms up is seen by the caller as any other."""
        self._tell(self.service.name, "a successor warms up beside it", "info")
        try:
            done = await hand_over(
                old,
                self.service,
                client=self._client,
                log=self.log,
                cookie=self._cookie,
                bury=self._bury,
                born=lambda fresh: self._leash.add(fresh.pid),
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the supervision of the old one
            why = f"{error}" if isinstance(error, Unavailable | OSError) else type(error).__name__
            self._process = old
            self._tell(self.service.name, f"not restarted: {why}", "warning")
            _answer(asked, Unavailable(f"{self.service.name}: {why}"))
            return old
        finally:
            self._asked = None
        self._process, self.service = done.process, done.service
        self._ready_since = time.monotonic()
        if done.trouble:
            self._tell(self.service.name, done.trouble, "warning")
            _answer(asked, Unavailable(f"{self.service.name}: {done.trouble}"))
            return done.process
        self._tell(
            self.service.name, f"restarted, pid {done.process.pid}, none worked for {done.pause_s:.2f} s", "info"
        )
        _answer(asked, done.pause_s)
        return done.process

    async def _rest(self, reason: str) -> None:
        """Wait until the next start is due."""
        now = time.monotonic()
        ready_for = now - self._ready_since if self._ready_since is not None else 0.0
        self._ready_since = None
        self.ready.clear()
        self._retry.clear()
        words = log_files.last_words(self.log, _LAST_WORDS)
        delay = self._deaths.died(now, ready_for_s=ready_for)
        if delay is None:
            mend = hint(self.service.name, (reason, *words))
            self.trouble = "\n".join((f"{reason}; given up after repeated deaths", *words, mend))
            self._to("crash-loop", f"{reason}: too many deaths, given up. {mend}", "error")
            self.settled.set()
            await self._retry.wait()
        else:
            self.trouble = "\n".join((reason, *words[-1:]))
            self._to("restarting", f"{reason}; starts again in {delay:.1f} s", "warning")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._retry.wait(), delay)
        self.restarts += 1

    def _now_ready(self, took_s: float) -> None:
        self._ready_since = time.monotonic()
        self.trouble = ""
        self.ready.set()
        self.settled.set()
        self._to("ready", f"ready after {took_s:.1f} s")

    def _bury(self, process: processes.Process) -> None:
        """It ended, or must: leave none of its group, which might hold its port or files."""
        processes.kill_group(process.pid)
        processes.release(process)
        self._leash.drop(process.pid)
        if self._process is process:
            self._process = None

    def _to(self, state: State, what: str, level: str = "info") -> None:
        self.state = state
        self._tell(self.service.name, what, level)


def _answer(asked: asyncio.Future[float], found: float | Unavailable) -> None:
    """Tell who asked, unless nobody waits any more."""
    if asked.done():
        return
    if isinstance(found, Unavailable):
        asked.set_exception(found)
    else:
        asked.set_result(found)
