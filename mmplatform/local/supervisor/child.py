"""Child of the supervisor: waits for the services that it needs, runs, is watched, and is restarted when it ends.

States: ``waiting`` (for the services that it needs) → ``starting`` → ``ready`` → (it ends) ``restarting`` →
``starting`` …, or ``crash-loop`` after too many exits, until it is retried. Services that need it are ``blocked`` until
then. At the end ``stopping`` → ``stopped``.
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
from mmplatform.local.supervisor.exit_reasons import describe_exit, suggest_fix
from mmplatform.local.supervisor.fork_server import ForkRequest
from mmplatform.local.supervisor.forked import ForkServer
from mmplatform.local.supervisor.handover import hand_over
from mmplatform.local.supervisor.liveness import LivenessProbe
from mmplatform.local.supervisor.orphan_reaper import OrphanReaper
from mmplatform.local.supervisor.restart_policy import ExitHistory, RestartPolicy

ChildState = Literal["waiting", "blocked", "starting", "ready", "restarting", "crash-loop", "stopping", "stopped"]
NoteCallback = Callable[[str, str, str], None]
"""Called on every change with (service, message, level: ``info``, ``warning`` or ``error``)."""

_POLL_S: Final = 0.1
_READY_POLL_S: Final = 0.3
"""Between two checks of a process that is ready: nine of them, checked ten times a second, took 1% of a core."""

_LAST_LINES: Final = 4


class Child:
    """A service and the process that runs it.

    ``ready`` is set while it is ready; ``settled`` once it was ready, given up or blocked for the first time, so that
    no service waits for it for ever.
    """

    def __init__(
        self,
        service: Service,
        *,
        log: Path,
        cookie: dict[str, str],
        reaper: OrphanReaper,
        client: httpx.AsyncClient,
        policy: RestartPolicy,
        note: NoteCallback,
        fork_server: ForkServer | None = None,
    ) -> None:
        self.service = service
        self.log = log
        self.state: ChildState = "waiting"
        self.restarts = 0
        self.problem = ""
        self.ready = asyncio.Event()
        self.settled = asyncio.Event()
        self._cookie = cookie
        self._reaper = reaper
        self._client = client
        self._exits = ExitHistory(policy)
        self._note = note
        self._fork_server = fork_server if service.forkable else None
        self._process: processes.Process | None = None
        self._ready_since: float | None = None
        self._retry = asyncio.Event()
        self._restart_request: asyncio.Future[float] | None = None

    @property
    def pid(self) -> int | None:
        """Pid of the running process, if there is one."""
        return self._process.pid if self._process is not None else None

    async def run(self, needs: Sequence[Child], after: Sequence[Child]) -> None:
        """Keep the service running until this task is cancelled (then call :meth:`stop`)."""
        for child in after:
            await child.settled.wait()
        while True:
            await self._wait_for_needs(needs)
            reason = await self._run_once()
            await self._wait_before_restart(reason)

    async def restart(self) -> float:
        """Replace the process by a successor; return the seconds in which neither of them worked.

        Raises:
            Unavailable: it is not ready, or its successor does not become ready: then the old process runs on.
        """
        if not self.ready.is_set() or self._restart_request is not None:
            raise Unavailable(f"{self.service.name} is {self.state}: only a service that is ready can be restarted")
        self._restart_request = asyncio.get_running_loop().create_future()
        return await self._restart_request

    def retry(self) -> None:
        """Start again now, if it waits for its next start or was given up."""
        if self.state in {"crash-loop", "restarting"}:
            self._exits.reset()
            self._retry.set()

    async def stop(self, force: asyncio.Event) -> None:
        """SIGTERM, then SIGKILL to the process group after the grace period, or at once when ``force`` is set."""
        process = self._process
        if process is not None:
            self._set_state("stopping", "stopping")
            processes.send(process, signal.SIGTERM)
            give_up = time.monotonic() + self.service.grace_s
            while process.poll() is None and time.monotonic() < give_up and not force.is_set():  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S / 2)
            if process.poll() is None:
                self._note(self.service.name, f"did not stop within {self.service.grace_s:.0f} s: killed", "warning")
            self._reap(process)
        self._set_state("stopped", "stopped")

    async def _wait_for_needs(self, needs: Sequence[Child]) -> None:
        """Wait until all are ready; blocked, and so settled, while one of them is given up."""
        noted = ""
        while missing := [child for child in needs if not child.ready.is_set()]:
            failed = [child.service.name for child in missing if child.state in {"crash-loop", "blocked"}]
            message = f"waits for {', '.join(failed or [child.service.name for child in missing])}"
            if failed:
                message += ", given up: fix it, then `mmplatform start-failed`"
            if message != noted:
                noted = message
                self.problem = message if failed else ""
                self._set_state("blocked" if failed else "waiting", message, "error" if failed else "info")
            if failed:
                self.settled.set()
            await asyncio.sleep(_POLL_S)
        if self.state == "blocked":
            self.problem = ""

    async def _run_once(self) -> str:
        """Start it and watch it; return how it ended."""
        try:
            log_files.write_start_line(self.log, self.service.name, utc_now())
            self._process = process = await self._start_process()
        except OSError as error:
            return f"could not be started: {error.strerror}"
        self._reaper.add_group(process.pid)
        self._set_state("starting", f"started, pid {process.pid}")
        started_at = time.monotonic()
        killed, liveness = "", self._liveness()
        while (code := process.poll()) is None:
            if self._restart_request is not None and self.ready.is_set():
                process = await self._hand_over(process, self._restart_request)
                started_at, liveness, killed = time.monotonic(), self._liveness(), ""
            if not self.ready.is_set():
                if await self.service.probe.ready(self._client) and process.poll() is None:
                    self._set_ready(time.monotonic() - started_at)
                    liveness = self._liveness()
                elif not killed and time.monotonic() > started_at + self.service.start_timeout_s:
                    killed = f"was not ready after {self.service.start_timeout_s:.0f} s"
                    processes.kill_group(process.pid)
            elif not killed and (reason := await liveness.hang_reason(self._client)):
                killed = f"hung and was killed: {reason}"
                processes.kill_group(process.pid)
            await asyncio.sleep(_READY_POLL_S if self.ready.is_set() else _POLL_S)
        self._reap(process)
        if self._restart_request is not None:
            _resolve(self._restart_request, Unavailable(f"{self.service.name} {describe_exit(code)}"))
            self._restart_request = None
        return killed or describe_exit(code)

    async def _start_process(self) -> processes.Process:
        """Start it. Only its first process is forked: a later one has the code that is on the disk then."""
        server, self._fork_server = self._fork_server, None
        environment = {**self.service.environment, **self._cookie}
        cwd = self.service.cwd
        if server is not None:
            request = ForkRequest(
                self.service.command, processes.inherit_environment(environment), str(self.log), str(cwd or Path.cwd())
            )
            if (forked := await server.start_worker(request)) is not None:
                return forked
        return processes.spawn(
            self.service.command, environment=environment, log=self.log, cwd=cwd, pipe_stdin=self.service.pipe_stdin
        )

    def _liveness(self) -> LivenessProbe:
        """Probe of the current process: a successor has another URL."""
        return LivenessProbe(self.service.liveness_url, reports_hangs=bool(self.service.metrics_url))

    async def _hand_over(self, old: processes.Process, request: asyncio.Future[float]) -> processes.Process:
        """Return the process that runs from now on; the caller handles an exit during the warm-up like any other."""
        self._note(self.service.name, "its successor warms up", "info")
        try:
            result = await hand_over(
                old,
                self.service,
                client=self._client,
                log=self.log,
                cookie=self._cookie,
                reap=self._reap,
                on_started=lambda new: self._reaper.add_group(new.pid),
            )
        except Exception as error:  # noqa: BLE001 - no error may end the supervision of the old process
            reason = f"{error}" if isinstance(error, Unavailable | OSError) else type(error).__name__
            self._process = old
            self._note(self.service.name, f"not restarted: {reason}", "warning")
            _resolve(request, Unavailable(f"{self.service.name}: {reason}"))
            return old
        finally:
            self._restart_request = None
        self._process, self.service = result.process, result.service
        self._ready_since = time.monotonic()
        if result.problem:
            self._note(self.service.name, result.problem, "warning")
            _resolve(request, Unavailable(f"{self.service.name}: {result.problem}"))
            return result.process
        self._note(
            self.service.name, f"restarted, pid {result.process.pid}, none worked for {result.pause_s:.2f} s", "info"
        )
        _resolve(request, result.pause_s)
        return result.process

    async def _wait_before_restart(self, reason: str) -> None:
        """Wait until the next start is due."""
        now = time.monotonic()
        ready_for = now - self._ready_since if self._ready_since is not None else 0.0
        self._ready_since = None
        self.ready.clear()
        self._retry.clear()
        log_lines = log_files.tail_since_start(self.log, _LAST_LINES)
        delay = self._exits.record_exit(now, ready_for_s=ready_for)
        if delay is None:
            fix = suggest_fix(self.service.name, (reason, *log_lines))
            self.problem = "\n".join((f"{reason}; given up after repeated exits", *log_lines, fix))
            self._set_state("crash-loop", f"{reason}: too many exits, given up. {fix}", "error")
            self.settled.set()
            await self._retry.wait()
        else:
            self.problem = "\n".join((reason, *log_lines[-1:]))
            self._set_state("restarting", f"{reason}; starts again in {delay:.1f} s", "warning")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._retry.wait(), delay)
        self.restarts += 1

    def _set_ready(self, start_s: float) -> None:
        self._ready_since = time.monotonic()
        self.problem = ""
        self.ready.set()
        self.settled.set()
        self._set_state("ready", f"ready after {start_s:.1f} s")

    def _reap(self, process: processes.Process) -> None:
        """Kill what is left of its process group, which might use its port or files, and collect its exit status."""
        processes.kill_group(process.pid)
        processes.collect_exit(process)
        self._reaper.drop_group(process.pid)
        if self._process is process:
            self._process = None

    def _set_state(self, state: ChildState, message: str, level: str = "info") -> None:
        self.state = state
        self._note(self.service.name, message, level)


def _resolve(request: asyncio.Future[float], result: float | Unavailable) -> None:
    """Answer the request, unless its caller waits no longer."""
    if request.done():
        return
    if isinstance(result, Unavailable):
        request.set_exception(result)
    else:
        request.set_result(result)
