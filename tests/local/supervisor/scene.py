"""Children under supervision, with small real programs."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mmplatform.local.services.port_leases import any_free_port
from mmplatform.local.services.probes import TcpProbe, local_client
from mmplatform.local.services.services import Service
from mmplatform.local.supervisor.child import Child
from mmplatform.local.supervisor.orphan_reaper import OrphanReaper
from mmplatform.local.supervisor.restart_policy import RestartPolicy

QUICK = RestartPolicy(first_delay_s=0.02, max_delay_s=0.1, max_exits=3, window_s=30)
SERVE = "import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
EXIT_3 = "import sys; print('the last line', flush=True); sys.exit(3)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SERVE


@dataclass
class Scene:
    """Children of one test and the notes on them."""

    folder: Path
    client: object
    notes: list[tuple[str, str, str]] = field(default_factory=list)
    tasks: list[asyncio.Task] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    force: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self, code: str, *, name: str = "worker", needs=(), after=(), policy=QUICK, **service) -> Child:
        port = any_free_port()
        child = Child(
            Service(
                name=name,
                command=(sys.executable, "-S", "-c", code.format(port=port)),
                environment={"GREETING": "hello"},
                **{"probe": TcpProbe("127.0.0.1", port), **service},
            ),
            log=self.folder / f"{name}.log",
            cookie={},
            reaper=OrphanReaper("no reaper in these tests"),
            client=self.client,
            policy=policy,
            note=lambda *note: self.notes.append(note),
        )
        self.children.append(child)
        self.tasks.append(asyncio.create_task(child.run(needs, after)))
        return child

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for child in self.children:
            await child.stop(self.force)


@asynccontextmanager
async def scene_in(folder: Path) -> AsyncIterator[Scene]:
    async with local_client() as client:
        scene = Scene(folder, client)
        try:
            yield scene
        finally:
            scene.force.set()
            await scene.stop()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 - the state of another process
            await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
