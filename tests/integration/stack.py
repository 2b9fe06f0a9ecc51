"""What a test asks of the running stack."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx

from mmplatform.ingest.client import GatewayClient
from mmplatform.land.lakehouse import Lakehouse
from mmplatform.local import runfile
from mmplatform.settings import Settings
from tests.waiting import eventually


@dataclass
class Stack:
    settings: Settings
    run: runfile.StackRun

    @property
    def addressed(self) -> Settings:
        """The settings with the addresses of this run."""
        return self.settings.model_copy(update={"kafka": self.run.kafka, "chroma": self.run.chroma})

    def client(self) -> GatewayClient:
        return GatewayClient(self.run.gateway, attempts=30)

    def search(self, query: str, **filters: Any) -> list[dict[str, Any]]:
        answer = httpx.post(f"{self.run.gateway}/v1/search", json={"query": query, **filters}, timeout=30)
        answer.raise_for_status()
        return answer.json()["hits"]

    def rows(self, table: str, subject: str) -> list[dict[str, Any]]:
        return Lakehouse.open(self.addressed).scan(table, subject_id=subject).to_pylist()

    def count_by_event(self, table: str, subject: str) -> Counter[str]:
        """How often each event's row is in a raw table: twice would be a doubled row."""
        return Counter(row["event_id"] for row in self.rows(table, subject))

    def status(self, service: str) -> dict[str, Any]:
        return httpx.get(f"{self.run.services[service].metrics_url}/status", timeout=10).json()

    def now(self) -> runfile.StackRun:
        run = runfile.running(self.settings.data_dir)
        assert run is not None
        return run

    def kill(self, service: str) -> None:
        """SIGKILL one process; the supervisor is expected to start it anew."""
        found = self.now().services[service]
        assert found.pid is not None
        os.kill(found.pid, signal.SIGKILL)

    def wait_ready(self, service: str, *, restarts: int) -> None:
        def ready() -> bool:
            found = self.now().services[service]
            return found.state == "ready" and found.restarts >= restarts

        eventually(ready, within_s=90)


def index_hits(stack: Stack, subject: str) -> dict[str, list[str]]:
    """Passage id → its event ids, for all passages of a subject, through the public search, a time slice at a time."""
    found: dict[str, list[str]] = {}
    for modality in ("chat", "call", "screenshot"):
        for hit in stack.search("anything", subject_id=subject, modalities=[modality], k=100):
            found[hit["passage_id"]] = hit["event_ids"]
    return found
