"""What the workers say of themselves (``/status``), and what they use of the machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import httpx
import psutil
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError


class Quantiles(BaseModel):
    """A distribution in seconds, of ``count`` passages; None where nothing was measured."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    count: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Freshness(BaseModel):
    """One modality over the indexer's rolling window.

    Attributes:
        gap: from the event's time to the index's acknowledgement.
        stages: the part of it that each stage took, in the order in which they come.
        slowest: the stage with the largest 95th percentile.
        watermark: the newest event time that is retrievable.
        shed: events from which nothing was derived because there were too many: they have no gap.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    gap: Quantiles = Quantiles()
    stages: dict[str, Quantiles] = Field(default_factory=dict)
    slowest: str = ""
    watermark: AwareDatetime | None = None
    shed: int = 0


class Bucket(BaseModel):
    """What the indexer did to one bucket since it started, and the gaps of its rolling window."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    upserted: int = 0
    deleted: int = 0
    gap: Quantiles = Quantiles()
    watermark: AwareDatetime | None = None


class WorkerStatus(BaseModel):
    """A worker's answer: ``lag`` in positions behind (None: not known), ``rate`` in events per second, ``shed`` events.

    ``freshness`` and ``buckets`` are told by the indexer alone; it has measured since ``measured_since``, when its
    process started.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str = ""
    lag: int | None = None
    rate: float | None = None
    shed: int = 0
    freshness: dict[str, Freshness] = Field(default_factory=dict)
    measured_since: AwareDatetime | None = None
    buckets: dict[str, Bucket] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU in cores, resident memory in bytes."""

    cpu: float
    rss: int


async def ask(client: httpx.AsyncClient, metrics_urls: Mapping[str, str]) -> dict[str, WorkerStatus]:
    """Ask all workers at once; who does not answer, or not in the agreed form, is left out."""
    answers = await asyncio.gather(*(_ask(client, url) for url in metrics_urls.values()))
    return {name: answer for name, answer in zip(metrics_urls, answers, strict=True) if answer is not None}


async def _ask(client: httpx.AsyncClient, url: str) -> WorkerStatus | None:
    try:
        answer = await client.get(f"{url}/status")
        answer.raise_for_status()
        return WorkerStatus.model_validate_json(answer.content)
    except (httpx.HTTPError, ValidationError):
        return None


class Meter:
    """Measures processes; CPU is the mean since the last measurement of the same process."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def measure(self, pid: int, *, family: bool = False) -> Usage | None:
        """One process, with ``family`` its descendants too; None when it has ended."""
        try:
            leader = self._process(pid)
            pids = [pid, *(child.pid for child in leader.children(recursive=True))] if family else [pid]
        except psutil.Error:
            self._known.pop(pid, None)
            return None
        cpu, rss = 0.0, 0
        for member in pids:
            with suppress(psutil.Error):
                process = self._process(member)
                cpu += process.cpu_percent(interval=None) / 100
                rss += process.memory_info().rss
        return Usage(cpu, rss)

    def _process(self, pid: int) -> psutil.Process:
        known = self._known.get(pid)
        if known is None or not known.is_running():
            known = self._known[pid] = psutil.Process(pid)
        return known
