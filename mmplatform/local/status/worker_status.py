"""Status payloads of the workers (``/status``), and the CPU and memory of processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import httpx
import psutil
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError


class QuantilesPayload(BaseModel):
    """Quantiles in seconds over ``count`` passages; None where nothing was measured."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    count: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class FreshnessPayload(BaseModel):
    """One modality over the indexer's rolling window.

    Attributes:
        gap: from the event's time to the index's acknowledgement.
        stages: the part of it that each stage took, in order.
        slowest: the stage with the largest 95th percentile.
        watermark: the newest event time that is retrievable.
        shed: events that were not derived because of overload: they have no gap.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    gap: QuantilesPayload = QuantilesPayload()
    stages: dict[str, QuantilesPayload] = Field(default_factory=dict)
    slowest: str = ""
    watermark: AwareDatetime | None = None
    shed: int = 0


class BucketPayload(BaseModel):
    """Upserts and deletions of one bucket since the indexer started, and the gaps of its rolling window."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    upserted: int = 0
    deleted: int = 0
    gap: QuantilesPayload = QuantilesPayload()
    watermark: AwareDatetime | None = None


class LastCanaryPayload(BaseModel):
    """Last canary of one topic partition; ``gap_s`` is None when it was not found."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    outcome: str = ""
    gap_s: float | None = None
    ended_at: AwareDatetime | None = None


class CanaryPayload(BaseModel):
    """Canaries of one modality: counts since their process started, gaps of a day.

    Attributes:
        outcomes: number of canaries by outcome.
        false_receipts: canaries that a receipt claimed and the search did not return.
        recent_false_receipts: those of the last day.
        gap: from the acknowledgement to the answer that had the canary.
        topic_partitions: outcome, gap and time of the last one in each.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    outcomes: dict[str, int] = Field(default_factory=dict)
    false_receipts: int = 0
    recent_false_receipts: int = 0
    gap: QuantilesPayload = QuantilesPayload()
    topic_partitions: dict[str, LastCanaryPayload] = Field(default_factory=dict)


class WorkerStatusPayload(BaseModel):
    """A worker's status: ``lag`` in records (None: unknown), ``rate`` in events per second, ``shed`` in events.

    ``freshness`` and ``buckets`` come from the indexer alone; it has measured since ``measured_since``, the start of
    its process. ``canaries`` come from the process of that name.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str = ""
    lag: int | None = None
    rate: float | None = None
    shed: int = 0
    freshness: dict[str, FreshnessPayload] = Field(default_factory=dict)
    measured_since: AwareDatetime | None = None
    buckets: dict[str, BucketPayload] = Field(default_factory=dict)
    canaries: dict[str, CanaryPayload] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """CPU in cores, resident memory in bytes."""

    cpu: float
    rss: int


async def query_workers(client: httpx.AsyncClient, metrics_urls: Mapping[str, str]) -> dict[str, WorkerStatusPayload]:
    """Query all workers at once; a worker without a valid answer is left out."""
    answers = await asyncio.gather(*(_query_worker(client, url) for url in metrics_urls.values()))
    return {name: answer for name, answer in zip(metrics_urls, answers, strict=True) if answer is not None}


async def _query_worker(client: httpx.AsyncClient, url: str) -> WorkerStatusPayload | None:
    try:
        answer = await client.get(f"{url}/status")
        answer.raise_for_status()
        return WorkerStatusPayload.model_validate_json(answer.content)
    except (httpx.HTTPError, ValidationError):
        return None


class ProcessMeter:
    """Measures processes; CPU is the mean since the last measurement of the same process."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}

    def measure(self, pid: int, *, include_children: bool = False) -> ProcessUsage | None:
        """Measure a process, with ``include_children`` its descendants too; None when it has ended."""
        try:
            leader = self._process(pid)
            pids = [pid, *(child.pid for child in leader.children(recursive=True))] if include_children else [pid]
        except psutil.Error:
            self._processes.pop(pid, None)
            return None
        cpu, rss = 0.0, 0
        for member in pids:
            with suppress(psutil.Error):
                process = self._process(member)
                cpu += process.cpu_percent(interval=None) / 100
                rss += process.memory_info().rss
        return ProcessUsage(cpu, rss)

    def _process(self, pid: int) -> psutil.Process:
        process = self._processes.get(pid)
        if process is None or not process.is_running():
            process = self._processes[pid] = psutil.Process(pid)
        return process
