"""Supervisor: runs every child of the stack until a signal stops it.

Called by ``mmplatform.local.launch``, with the data directory locked and the ports leased. It guarantees:

1. Children start when the services that they need are ready, in parallel otherwise.
2. A child that ends is restarted, with growing waits; one that keeps ending is given up, and the others go on.
3. The run file reports the state within a tick of every change.
4. An error of its own bookkeeping, such as a full disk, is noted and stops no service.
5. On SIGINT, SIGTERM or SIGHUP children stop in the reverse order; a second signal kills them at once; none is left.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from mmplatform.events import utc_now
from mmplatform.local import log_files, run_file
from mmplatform.local.services.probes import local_client
from mmplatform.local.services.services import Service, Stack
from mmplatform.local.status import worker_status
from mmplatform.local.status.live_table import ServiceRow, StackSnapshot
from mmplatform.local.status.views import GuardedView, StackView
from mmplatform.local.supervisor import processes
from mmplatform.local.supervisor.child import Child
from mmplatform.local.supervisor.forked import ForkServer
from mmplatform.local.supervisor.journal import Journal
from mmplatform.local.supervisor.orphan_reaper import OrphanReaper
from mmplatform.local.supervisor.restart_policy import RestartPolicy
from mmplatform.local.supervisor.rolling_restart import RollingRestart

TICK_S: Final = 1.0
_STOP_TICK_S: Final = 0.2
_ROTATE_EVERY_TICKS: Final = 10
_STATUS_EVERY_TICKS: Final = 2
_SELF: Final = "supervisor"
_WRITE_RUN_FILE: Final = "write the run file"


class Supervisor:
    """One run of one stack."""

    def __init__(
        self, stack: Stack, *, data_dir: Path, token: str, pid: int, view: StackView, policy: RestartPolicy
    ) -> None:
        self._stack = stack
        self._data_dir = data_dir
        self._cookie = processes.cookie_value(data_dir, token)
        self._pid = pid
        self._view = GuardedView(view)
        self._policy = policy
        self._journal = Journal(log_files.log_path(data_dir, _SELF), self._view.note)
        self._reaper = OrphanReaper(self._cookie)
        self._children: dict[str, Child] = {}
        self._rolling = RollingRestart(self._children, data_dir, self._set_changed)
        self._statuses: dict[str, worker_status.WorkerStatusPayload] = {}
        self._meter = worker_status.ProcessMeter()
        self._started_at: datetime = utc_now()
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._changed = asyncio.Event()
        self._failing: set[str] = set()
        self._fork_server: ForkServer | None = None

    async def run(self) -> None:
        """Start all services, watch them until a signal comes, stop them.

        Raises:
            OSError: the run file cannot be written or no process can be started; no service was started.
        """
        self._on_signals()
        self._reaper.ensure_running()
        self._view.open()
        try:
            async with local_client() as client:
                runs = self._start(client)
                try:
                    await self._watch(client, runs)
                finally:
                    if self._fork_server is not None:
                        self._fork_server.close()
                    await self._stop_all(runs)
        finally:
            self._view.close()
            self._reaper.close()
            self._attempt("remove the run file", lambda: run_file.remove(self._data_dir))
            self._journal.close()

    def stop(self) -> None:
        """Stop all services; at the second call, kill them at once."""
        if self._stop.is_set():
            self._force.set()
        self._stop.set()

    def retry(self) -> None:
        """Start services that were given up."""
        for child in self._children.values():
            child.retry()

    def snapshot(self) -> StackSnapshot:
        """Return the current state of the stack."""
        urls = {
            "gateway": self._stack.gateway,
            "dagster": self._stack.dagster,
            "kafka": self._stack.kafka,
            "chroma": self._stack.chroma,
            "logs": str(log_files.log_path(self._data_dir, _SELF).parent),
        }
        return StackSnapshot([self._row(child) for child in self._children.values()], urls, tuple(self._journal.recent))

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGUSR1, self.retry)
        loop.add_signal_handler(signal.SIGUSR2, self._rolling.begin)

    def _start(self, client: httpx.AsyncClient) -> list[asyncio.Task[None]]:
        self._fork_server = self._start_fork_server()
        for service in self._stack.services:
            self._children[service.name] = Child(
                service,
                log=log_files.log_path(self._data_dir, service.name),
                cookie={processes.COOKIE_VARIABLE: self._cookie},
                reaper=self._reaper,
                client=client,
                policy=self._policy,
                note=self._note,
                fork_server=self._fork_server,
            )
        self._write_run_file()  # first: a service that is in no run file could not be found
        return [
            asyncio.create_task(
                child.run(self._children_named(child.service.needs), self._children_named(child.service.after))
            )
            for child in self._children.values()
        ]

    def _start_fork_server(self) -> ForkServer | None:
        """Start the fork server, which imports while the broker starts; None where no service can be forked."""
        forkable = [service for service in self._stack.services if service.forkable]
        if not forkable:
            return None
        environment = {
            name: value for name, value in forkable[0].environment.items() if not name.startswith("MMPLATFORM_")
        }
        log = log_files.log_path(self._data_dir, _SELF)
        cookie = {processes.COOKIE_VARIABLE: self._cookie}
        server = ForkServer({**environment, **cookie}, log, len(forkable), on_end=self._reaper.drop_group)
        self._attempt("start the fork server", server.start)
        if server.pid is not None:
            self._reaper.add_group(server.pid)
        return server

    async def _watch(self, client: httpx.AsyncClient, runs: Sequence[asyncio.Task[None]]) -> None:
        started_at, announced, ticks = time.monotonic(), False, 0
        while not self._stop.is_set():
            for run in runs:
                if run.done():
                    run.result()  # it ends only by an error of the supervisor, which is raised here
            self._attempt("start the orphan reaper", self._reaper.ensure_running)
            if self._view.is_visible and ticks % _STATUS_EVERY_TICKS == 0:
                self._statuses = await worker_status.query_workers(client, self._metrics_urls())
            if ticks % _ROTATE_EVERY_TICKS == 0:
                self._rotate()
            if not announced and self._settled():
                announced = True
                self._journal.note(_SELF, f"the stack is up after {time.monotonic() - started_at:.1f} s")
            self._attempt("draw the table", self._draw)
            ticks += 1
            await self._tick()

    async def _tick(self) -> None:
        """Wait a tick; write the run file at once on a change, return at once on a stop.

        A run file that could not be written is written at the next tick.
        """
        if _WRITE_RUN_FILE in self._failing:
            self._save_run_file()
        end = time.monotonic() + TICK_S
        while (left := end - time.monotonic()) > 0 and not self._stop.is_set():
            stop = asyncio.create_task(self._stop.wait())
            changed = asyncio.create_task(self._changed.wait())
            _, pending = await asyncio.wait({stop, changed}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if self._changed.is_set():
                self._save_run_file()

    async def _stop_all(self, runs: Sequence[asyncio.Task[None]]) -> None:
        self._journal.note(_SELF, "stopping; a second signal kills at once")
        failures: list[BaseException | None] = []
        self._rolling.stop()
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        for level in stop_order(self._stack.services):
            stops = [asyncio.create_task(self._children[name].stop(self._force)) for name in level]
            while stops:
                done, waiting = await asyncio.wait(stops, timeout=_STOP_TICK_S)
                failures += [task.exception() for task in done]
                stops = list(waiting)
                self._save_run_file()
                self._attempt("draw the table", self._draw)
        self._journal.note(_SELF, "stopped")
        for failure in failures:
            if failure is not None:
                raise failure

    def _settled(self) -> bool:
        return all(child.settled.is_set() for name, child in self._children.items() if name != run_file.DAGSTER)

    def _rotate(self) -> None:
        for name in (_SELF, *self._children):
            path = log_files.log_path(self._data_dir, name)
            self._attempt(f"rotate {path.name}", partial(log_files.rotate, path))

    def _draw(self) -> None:
        if self._view.is_visible:
            self._view.show(self.snapshot())

    def _attempt(self, task: str, action: Callable[[], object]) -> None:
        """Run one task of the bookkeeping. An error is noted when it first occurs, and stops no service."""
        try:
            action()
        except OSError as error:
            if task not in self._failing:
                self._failing.add(task)
                self._journal.note(_SELF, f"cannot {task}: {error.strerror or type(error).__name__}", "error")
        else:
            self._failing.discard(task)

    def _note(self, service: str, message: str, level: str) -> None:
        self._journal.note(service, message, level)
        self._set_changed()

    def _set_changed(self) -> None:
        self._changed.set()

    def _children_named(self, names: Sequence[str]) -> list[Child]:
        return [self._children[name] for name in names]

    def _metrics_urls(self) -> dict[str, str]:
        ready = (child.service for child in self._children.values() if child.state == "ready")
        return {service.name: service.metrics_url for service in ready if service.metrics_url}

    def _row(self, child: Child) -> ServiceRow:
        usage = self._meter.measure(child.pid, include_children=child.service.has_children) if child.pid else None
        status = self._statuses.get(child.service.name) if child.state == "ready" else None
        return ServiceRow(child.service.name, child.state, child.restarts, child.pid, usage, status, child.problem)

    def _save_run_file(self) -> None:
        self._changed.clear()
        self._attempt(_WRITE_RUN_FILE, self._write_run_file)

    def _write_run_file(self) -> None:
        services = {
            name: run_file.ServiceRun(
                pid=child.pid,
                state=child.state,
                restarts=child.restarts,
                metrics_url=child.service.metrics_url,
                log=str(child.log),
                note=child.problem,
                replaceable=bool(child.service.successor_port),
            )
            for name, child in self._children.items()
        }
        run = run_file.StackRun(
            pid=self._pid,
            started_at=self._started_at,
            data_dir=str(self._data_dir),
            gateway=self._stack.gateway,
            kafka=self._stack.kafka,
            chroma=self._stack.chroma,
            dagster=self._stack.dagster,
            services=services,
            rolling=self._rolling.run,
        )
        run_file.write(self._data_dir, run)


def stop_order(services: Sequence[Service]) -> list[list[str]]:
    """Names in the order of stopping, level by level: a service stops after those that need it."""
    depth: dict[str, int] = {}
    for service in services:  # a service is listed after those that it needs
        depth[service.name] = 1 + max((depth[name] for name in (*service.needs, *service.after)), default=0)
    return [[name for name in depth if depth[name] == level] for level in sorted(set(depth.values()), reverse=True)]
