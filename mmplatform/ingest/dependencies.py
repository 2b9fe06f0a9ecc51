"""Dependencies of the ingest endpoints: ``mmplatform/gateway/app.py`` composes them, tests give doubles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mmplatform.events import Modality, Position, utc_now
from mmplatform.ingest.backpressure import Gate
from mmplatform.ingest.idempotency import RecentEvents
from mmplatform.ingest.metrics import IngestMetrics
from mmplatform.ports import Blobs
from mmplatform.settings import Settings
from mmplatform.web.body_budget import Budget


class Log(Protocol):
    """The part of :class:`~mmplatform.kafka.producer.LogProducer` that the gateway writes with."""

    def send(
        self,
        topic: str,
        key: str | None,
        value: bytes,
        *,
        timestamp: datetime | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Future[Position]:
        """Queue a record; the future has a result once it is durable. Raises Busy."""


class AudioFacts(Protocol):
    """What the probe found in an audio file."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""

    @property
    def channels(self) -> int:
        """How many."""

    @property
    def duration_s(self) -> float:
        """In seconds."""


class ImageFacts(Protocol):
    """What the probe found in an image file."""

    @property
    def width(self) -> int:
        """In pixels."""

    @property
    def height(self) -> int:
        """In pixels."""


ProbeAudio = Callable[[bytes, str], AudioFacts]
"""(data, media type) → facts. Raises Rejected for what cannot be decoded."""
ProbeImage = Callable[[bytes, str, int], ImageFacts]
"""(data, media type, most pixels) → facts. Raises Rejected for what cannot be decoded, TooLarge for too many pixels."""


@dataclass(frozen=True, slots=True)
class IngestDeps:
    """Everything that the endpoints need. ``clock`` gives the present, aware of UTC."""

    settings: Settings
    log: Log
    blobs: Blobs
    gates: Mapping[Modality, Gate]
    budget: Budget
    probe_audio: ProbeAudio
    probe_image: ProbeImage
    metrics: IngestMetrics = field(default_factory=IngestMetrics)
    recent: RecentEvents = field(default_factory=RecentEvents)
    clock: Callable[[], datetime] = utc_now
