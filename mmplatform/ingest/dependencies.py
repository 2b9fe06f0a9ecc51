"""Dependencies of the ingest endpoints: ``mmplatform/gateway/app.py`` composes them, tests give doubles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from mmplatform.events import Modality, Position, utc_now
from mmplatform.ingest.backpressure import BackpressureGate
from mmplatform.ingest.idempotency import IdempotencyCache
from mmplatform.ingest.metrics import IngestMetrics
from mmplatform.kafka.headers import Pseudonyms
from mmplatform.kafka.position_token import PositionTokens
from mmplatform.ports import Blobs
from mmplatform.settings import Settings
from mmplatform.web.body_budget import BodyBudget


class EventWriter(Protocol):
    """The part of :class:`~mmplatform.kafka.producer.LogProducer` that the intake uses."""

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
    """Properties of an audio file, from the probe."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""

    @property
    def channels(self) -> int:
        """Number of channels."""

    @property
    def duration_s(self) -> float:
        """In seconds."""


class ImageFacts(Protocol):
    """Properties of an image file, from the probe."""

    @property
    def width(self) -> int:
        """In pixels."""

    @property
    def height(self) -> int:
        """In pixels."""


ProbeAudio = Callable[[bytes, str], AudioFacts]
"""(data, media type) → facts. Raises Rejected for undecodable audio."""
ProbeImage = Callable[[bytes, str, int], ImageFacts]
"""(data, media type, max pixels) → facts. Raises Rejected for an undecodable image, TooLarge for too many pixels."""


SplitRecording = Callable[[Any, float, str], Iterator[tuple[int, float, bytes]]]
"""(recording in the making, seconds, media type) → (index, start in seconds, WAV). Raises Rejected."""


@dataclass(frozen=True, slots=True)
class IngestDeps:
    """Dependencies of the ingest endpoints.

    Attributes:
        clock: returns the current time, aware of UTC.
        canary_key: the key of a canary's request; empty: none is taken.
        canaries: dependencies for a canary's request: of its own tenant, and with metrics that no page shows.
    """

    settings: Settings
    log: EventWriter
    blobs: Blobs
    gates: Mapping[Modality, BackpressureGate]
    budget: BodyBudget
    probe_audio: ProbeAudio
    probe_image: ProbeImage
    pseudonyms: Pseudonyms
    tokens: PositionTokens
    split_recording: SplitRecording
    metrics: IngestMetrics = field(default_factory=IngestMetrics)
    idempotency: IdempotencyCache = field(default_factory=IdempotencyCache)
    clock: Callable[[], datetime] = utc_now
    canary_key: str = ""
    canaries: IngestDeps | None = None
