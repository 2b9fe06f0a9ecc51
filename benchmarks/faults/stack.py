"""The stack under attack: starting it, breaking it, and looking at what it holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.faults.board import Board
from mmplatform.client.client import GatewayClient
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.local import run_file
from mmplatform.local.launch import stop_stack
from mmplatform.local.services.environment import Addresses, worker_environment
from mmplatform.local.services.port_leases import any_free_port
from mmplatform.local.supervisor import processes
from mmplatform.modalities import MODALITIES
from mmplatform.settings import Settings, load

WORKERS: Final = (*(spec.group for spec in MODALITIES.values()), "index", "archive")
SERVICES: Final = ("broker", "chroma", "gateway", *WORKERS)
ROOT: Final = Path(__file__).parents[2]
"""Folder in which started processes find this package."""

START_S: Final = 600.0
MAX_HITS: Final = 100
"""Hits that one search gives at most."""

QUICK: Final = {
    "MMPLATFORM_ARCHIVE_COMMIT_INTERVAL_S": "2",
    "MMPLATFORM_CALL_IDLE_TIMEOUT_S": "4",
    "MMPLATFORM_GATEWAY_PORT": "0",
    "MMPLATFORM_ASR_MODEL": "whisper-tiny",
    # Rows, records and services are counted; who wants canaries runs them beside.
    "MMPLATFORM_CANARY_INTERVAL_S": "0",
}


def until(check: Callable[[], Any], within_s: float, what: str, every_s: float = 0.2) -> None:
    """Poll. Raises TimeoutError, which says what it waited for."""
    give_up = time.monotonic() + within_s
    while not check():
        if time.monotonic() > give_up:
            raise TimeoutError(f"not within {within_s:.0f} s: {what}")
        time.sleep(every_s)


@dataclass(frozen=True, slots=True)
class Guest:
    """A worker beside those of the stack."""

    process: processes.Process
    health: str

    def is_settled(self) -> bool:
        """True when it is ready, or ended by itself."""
        if self.process.poll() is not None:
            return True
        try:
            return httpx.get(self.health, timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def leave(self) -> None:
        """Have it end, by SIGTERM, and by SIGKILL after a while."""
        processes.send(self.process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=30)
        processes.kill_group(self.process.pid)
        processes.collect_exit(self.process)


@dataclass
class Broken:
    """A running stack that somebody breaks."""

    settings: Settings
    board: Board

    def now(self) -> run_file.StackRun:
        """The run file's entries of its processes."""
        run = run_file.read_running(self.settings.data_dir)
        if run is None:
            raise RuntimeError("the supervisor is gone")
        return run

    @cached_property
    def addressed(self) -> Settings:
        """The settings with the addresses of this run."""
        run = self.now()
        return self.settings.model_copy(update={"kafka_bootstrap_servers": run.kafka, "chroma_url": run.chroma})

    @cached_property
    def lakehouse(self) -> Lakehouse:
        """The archiver's lakehouse, opened to read."""
        return Lakehouse.open(self.addressed)

    def client(self) -> GatewayClient:
        """A patient source."""
        return GatewayClient(self.now().gateway, max_attempts=60)

    def signal(self, service: str, number: signal.Signals) -> int:
        """Signal a process that is ready (waits until it is); return its pid."""
        self.wait_ready(service)
        pid = self.now().services[service].pid
        if pid is None:
            raise RuntimeError(f"{service} died by itself")
        os.kill(pid, number)
        return pid

    def kill(self, service: str) -> None:
        """SIGKILL, and wait until the supervisor has noticed."""
        before = self.now().services[service].restarts
        self.signal(service, signal.SIGKILL)
        until(lambda: self._is_noticed(service, before), 60, f"the death of {service} is noticed")

    def _is_noticed(self, service: str, restarts: int) -> bool:
        found = self.now().services[service]
        return found.state != "ready" or found.restarts > restarts

    def keep_down(self, service: str, seconds: float) -> None:
        """SIGKILL, and no new start for so long."""
        self.board.hold(service)
        try:
            self.kill(service)
            time.sleep(seconds)
        finally:
            self.board.let_go(service)

    def wait_ready(self, service: str) -> None:
        """Wait until the supervisor has it up."""
        until(lambda: self.is_ready(service), START_S, f"{service} is ready")

    def is_ready(self, service: str) -> bool:
        """True when the supervisor has it up."""
        return self.now().services[service].state == "ready"

    def retire(self, service: str) -> None:
        """SIGTERM, and no new start until the board lets it go."""
        self.board.hold(service)
        self.signal(service, signal.SIGTERM)

    def join(self, worker: str, instance: str, module: str = "mmplatform.worker") -> Guest:
        """A second worker of a kind, which joins the group once it is ready; call in the main thread."""
        run, port = self.now(), any_free_port()
        addresses = Addresses(run.kafka, run.chroma, int(run.gateway.rpartition(":")[2]))
        wrapped = (sys.executable, "-m", "benchmarks.faults.process", str(self.board.folder), f"{worker}-{instance}")
        process = processes.spawn(
            [*wrapped, sys.executable, "-m", module, worker],
            environment=worker_environment(self.settings, addresses, instance=instance, metrics_port=port),
            log=self.settings.data_dir / "logs" / f"{worker}-{instance}.log",
            cwd=ROOT,
        )
        return Guest(process, f"http://127.0.0.1:{port}/healthz")

    def rows(self, table: str, *columns: str) -> list[dict[str, Any]]:
        """All rows as they lie in the table: ``Lakehouse.scan`` would hide a doubled one."""
        found: list[dict[str, Any]] = self.lakehouse.table(table).scan(selected_fields=columns).to_arrow().to_pylist()
        return found

    def passages(self, subject: str) -> dict[str, Mapping[str, Any]]:
        """All passages of a person, of whom only one modality is sent, that the public search gives; by id."""
        query = {"query": "anything", "subject_id": subject, "k": MAX_HITS}
        answer = httpx.post(f"{self.now().gateway}/v1/search", json=query, timeout=60, trust_env=False)
        answer.raise_for_status()
        hits = answer.json()["hits"]
        if len(hits) == MAX_HITS:
            raise RuntimeError("more passages than one search gives: the comparison would miss the rest")
        return {hit["passage_id"]: hit for hit in hits}

    def lag(self, service: str) -> int | None:
        """A worker's lag; ``None`` while it reports none."""
        try:
            answer = httpx.get(f"{self.now().services[service].metrics_url}/status", timeout=10, trust_env=False)
        except httpx.TransportError:
            return None
        lag: int | None = answer.json()["lag"]
        return lag

    def settle(self, within_s: float = 1200.0) -> None:
        """Wait until no worker is behind, three looks in a row: between two an artifact may be on its way."""
        quiet = 0

        def still() -> bool:
            nonlocal quiet
            quiet = quiet + 1 if all(self.lag(name) == 0 for name in WORKERS) else 0
            return quiet >= 3

        until(still, within_s, "no worker is behind", every_s=1.5)


@contextmanager
def broken_stack(data_dir: Path, *, derivers: str = "", **more: str) -> Iterator[Broken]:
    """Start a stack without Dagster, and stop it at the end.

    Args:
        data_dir: of the stack.
        derivers: processes by modality, as ``mmplatform up --derivers`` reads them.
        more: environment variables.
    """
    data_dir = data_dir.absolute()
    board = Board(data_dir / "board")
    before = dict(os.environ)
    os.environ |= QUICK | more | {"MMPLATFORM_DATA_DIR": str(data_dir)}
    log = data_dir / "logs" / "attacked.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        settings = load()
        with log.open("ab") as output:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.faults.supervise", str(board.folder), derivers],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    finally:
        os.environ.clear()
        os.environ |= before
    stack = Broken(settings, board)
    try:
        until(lambda: _is_up(settings, supervisor), START_S, f"the stack is up; see {log}")
        yield stack
    finally:
        stop_stack(data_dir, force=False, timeout_s=90)
        supervisor.wait(timeout=30)


def _is_up(settings: Settings, supervisor: subprocess.Popen[bytes]) -> bool:
    if supervisor.poll() is not None:
        raise RuntimeError(f"the supervisor ended with {supervisor.returncode}")
    run = run_file.read_running(settings.data_dir)
    return run is not None and run.pid == supervisor.pid and run.settled
