"""Queries of the tests to the running stack."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
from pyiceberg.expressions import AlwaysTrue, EqualTo

from mmplatform.client.client import GatewayClient
from mmplatform.land.lakehouse.store import Lakehouse
from mmplatform.local import run_file
from mmplatform.modalities import MODALITIES
from mmplatform.settings import Settings
from mmplatform.telemetry.status_server import LAG_INTERVAL_S
from tests.waiting import eventually

WORKERS = (*(spec.group for spec in MODALITIES.values()), "index", "archive")
MAX_HITS = 100
"""Hits that one search gives at most."""


@dataclass
class Stack:
    settings: Settings
    run: run_file.StackRun

    @property
    def addressed(self) -> Settings:
        """The settings with the addresses of this run."""
        return self.settings.model_copy(
            update={"kafka_bootstrap_servers": self.run.kafka, "chroma_url": self.run.chroma}
        )

    @cached_property
    def lakehouse(self) -> Lakehouse:
        return Lakehouse.open(self.addressed)

    def client(self) -> GatewayClient:
        return GatewayClient(self.run.gateway, max_attempts=30)

    def search(self, query: str, **filters: Any) -> list[dict[str, Any]]:
        answer = httpx.post(f"{self.run.gateway}/v1/search", json={"query": query, **filters}, timeout=30)
        answer.raise_for_status()
        return answer.json()["hits"]

    def passages(self, subject: str) -> dict[str, dict[str, Any]]:
        """All passages of a person that the public search gives, by id."""
        found: dict[str, dict[str, Any]] = {}
        for modality in MODALITIES:
            hits = self.search("anything", subject_id=subject, modalities=[modality], k=MAX_HITS)
            assert len(hits) < MAX_HITS, "more than one search gives: the comparison would miss the rest"
            found |= {hit["passage_id"]: hit for hit in hits}
        return found

    def rows(self, table: str, subject: str | None = None, *columns: str) -> list[dict[str, Any]]:
        """The rows as they lie in the table, one person's or all: ``Lakehouse.scan`` would hide a doubled one."""
        whose = AlwaysTrue() if subject is None else EqualTo("subject_id", subject)
        scan = self.lakehouse.table(table).scan(row_filter=whose, selected_fields=columns or ("*",))
        return scan.to_arrow().to_pylist()

    def count_by_event(self, table: str, subject: str) -> Counter[str]:
        """Count the rows of each event in a raw table: two would be a doubled row."""
        return Counter(row["event_id"] for row in self.rows(table, subject, "event_id"))

    def count_by_artifact(self, table: str, subject: str | None = None) -> Counter[str]:
        """The same for what was derived."""
        return Counter(row["artifact_id"] for row in self.rows(table, subject, "artifact_id"))

    def lag(self, service: str) -> int | None:
        """Lag of a worker; ``None`` while it is unknown."""
        try:
            answer = httpx.get(f"{self.now().services[service].metrics_url}/status", timeout=10)
        except httpx.TransportError:
            return None
        return answer.json()["lag"]

    def settle(self, within_s: float = 240.0) -> None:
        """Wait until no worker is behind, twice in a row: between two looks an artifact may be on its way."""
        quiet = 0

        def still() -> bool:
            nonlocal quiet
            there = self.now().services
            lags = [self.lag(name) for name in WORKERS if name in there]
            quiet = quiet + 1 if not any(lag is None or lag for lag in lags) else 0
            return quiet >= 2

        eventually(still, within_s, every_s=LAG_INTERVAL_S + 0.5)

    def now(self) -> run_file.StackRun:
        run = run_file.read_running(self.settings.data_dir)
        assert run is not None
        return run

    def kill(self, service: str) -> None:
        """SIGKILL one process; the supervisor must restart it."""
        found = self.now().services[service]
        assert found.pid is not None
        os.kill(found.pid, signal.SIGKILL)

    def wait_ready(self, service: str, *, restarts: int) -> None:
        def ready() -> bool:
            found = self.now().services[service]
            return found.state == "ready" and found.restarts >= restarts

        eventually(ready, within_s=90)
