"""Writes a parsed request onto the log as an event: once for each event id, the bytes before the pointer.

The steps run in this order, and the response follows the last:

1. check that the id is new, or repeats its content (:class:`~mmplatform.ingest.idempotency.IdempotencyCache`)
2. decode the bytes 3. store the bytes durably in the blob store 4. stamp ``ingested_at``
5. wait until the log has acknowledged the event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from mmplatform.errors import Busy, Conflict, Rejected, TooLarge
from mmplatform.events import (
    MODALITY_BY_KIND,
    BlobRef,
    CallChunk,
    CallEnd,
    Event,
    Modality,
    Position,
    Screenshot,
    encode,
)
from mmplatform.identity import event_uid
from mmplatform.ingest.backpressure_policy import Exceeded
from mmplatform.ingest.dependencies import IngestDeps
from mmplatform.ingest.schemas import MAX_CHUNK_S, Accepted, ChunkFields, EndFields, ScreenshotFields
from mmplatform.kafka.headers import event_headers
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import MODALITIES, SHED
from mmplatform.web.bodies import Upload
from mmplatform.web.body_budget import BodyReservation


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event to be written. ``uid`` is its identity; ``build`` stores its bytes and returns it.

    ``sheddable``: deriving it costs model time. The end of a call costs none, and without it the call would stay open.
    """

    event_id: str
    uid: str
    modality: Modality
    digest: bytes
    size: int
    build: Callable[[], Awaitable[Event]]
    sheddable: bool = True


class Intake:
    """Writes pending events onto the log."""

    def __init__(self, deps: IngestDeps) -> None:
        self._deps = deps

    @property
    def deps(self) -> IngestDeps:
        """The dependencies that its events are built with."""
        return self._deps

    @contextmanager
    def reserve(self, modality: Modality) -> Iterator[BodyReservation]:
        """Reserve a request's bytes while it is handled; every Busy within counts as throttled.

        Raises:
            Busy: the modality accepts no more right now.
        """
        try:
            self._deps.gates[modality].check()
            with self._deps.budget.reserve() as reservation:
                yield reservation
        except Busy:
            self._deps.metrics.throttled_requests.labels(modality).inc()
            raise

    def check_time(self, event_time: datetime | None) -> None:
        """Return when the time is plausible. Raises Rejected for one too far ahead of the gateway's clock."""
        if event_time is None:
            return
        ahead = (event_time - self._deps.clock()).total_seconds()
        limit = self._deps.settings.max_future_s
        if ahead > limit:
            raise Rejected(
                f"event_time is {ahead:.0f} s ahead of the gateway's clock, over the limit of {limit:.0f} s: "
                "correct the clock of the source, or the zone of the time"
            )

    async def accept(
        self, pending: PendingEvent, reservation: BodyReservation | None = None, traceparent: bytes = b""
    ) -> Accepted:
        """Write the event unless it is a duplicate; the write keeps ``reservation`` even if its caller is cancelled.

        Raises:
            Conflict: its id arrived before with other content.
            Rejected: its bytes cannot be decoded, or are too large.
            Busy: the producer's queue is full.
            Unavailable: the blob store or the broker does not answer.
        """
        deps, gate = self._deps, self._deps.gates[pending.modality]
        shed_reasons = gate.check() if pending.sheddable and gate.policy == "shed" else ()
        position, duplicate = await deps.idempotency.write_once(
            pending.event_id,
            pending.uid,
            pending.digest,
            lambda: self._write(pending, reservation, shed_reasons, traceparent),
        )
        deps.metrics.events.labels(pending.modality, "duplicate" if duplicate else "accepted").inc()
        if not duplicate:
            deps.metrics.bytes.labels(pending.modality).inc(pending.size)
            if shed_reasons:
                deps.metrics.shed.labels(pending.modality).inc()
            elif gate.closed and gate.policy == "buffer":
                deps.metrics.buffered.labels(pending.modality).inc()
        return Accepted(
            event_id=pending.event_id,
            position=position,
            duplicate=duplicate,
            shed=bool(shed_reasons) and not duplicate,
            token=deps.tokens.sign(position),
        )

    async def accept_all(
        self, pending: list[PendingEvent], reservation: BodyReservation, traceparent: bytes = b""
    ) -> list[Accepted]:
        """Write events, in order within a conversation; all ids are checked for conflicts before the first is written.

        Raises:
            As :meth:`accept`; the others may then be on the log, and a repeated call finds them as duplicates.
        """
        digests: dict[str, bytes] = {}
        for event in pending:
            self._deps.idempotency.check(event.event_id, event.uid, event.digest)
            if digests.setdefault(event.uid, event.digest) != event.digest:
                raise Conflict(f"event {event.event_id} is in the list twice, with different content")
        # Each write queues its record before its first await, so the log has the order of the list.
        return list(await asyncio.gather(*(self.accept(event, reservation, traceparent) for event in pending)))

    async def _write(
        self,
        pending: PendingEvent,
        reservation: BodyReservation | None,
        shed_reasons: tuple[Exceeded, ...],
        traceparent: bytes,
    ) -> Position:
        with reservation or nullcontext():
            event = await pending.build()
            shed = {SHED: ",".join(shed_reasons).encode()} if shed_reasons else {}
            spec = MODALITIES[MODALITY_BY_KIND[event.kind]]
            written = await asyncio.wrap_future(
                self._deps.log.send(
                    topic_name(self._deps.settings, spec.topic),
                    event.conversation_key,
                    encode(event),
                    timestamp=event.ingested_at,
                    headers=event_headers(
                        event,
                        self._deps.pseudonyms,
                        traceparent,
                        generation=self._deps.settings.log_generation,
                    )
                    | shed,
                )
            )
        self._deps.gates[pending.modality].record_accepted()  # here: the event stays if its caller is cancelled
        # A position names the platform's topic, without the prefix of this Kafka, and the log's generation.
        return written.model_copy(update={"topic": spec.topic, "generation": self._deps.settings.log_generation})


async def pending_screenshot(deps: IngestDeps, fields: ScreenshotFields, upload: Upload, event_id: str) -> PendingEvent:
    """An image."""
    arrived = deps.clock()

    async def build() -> Event:
        max_pixels = deps.settings.max_image_pixels
        facts = await asyncio.to_thread(deps.probe_image, upload.data, upload.media_type, max_pixels)
        blob = await _store_blob(deps, upload)
        return Screenshot(
            event_id=event_id,
            tenant=deps.settings.tenant,
            conversation_id=fields.conversation_id,
            subject_id=fields.subject_id,
            source=fields.source,
            event_time=fields.event_time or arrived,
            ingested_at=deps.clock(),
            width=facts.width,
            height=facts.height,
            blob=blob,
        )

    digest = await asyncio.to_thread(fields.content_digest, "screenshot", upload.data)
    uid = pending_uid(deps, fields.source, fields.conversation_id, event_id)
    return PendingEvent(event_id, uid, "screenshot", digest, len(upload.data), build)


async def pending_chunk(
    deps: IngestDeps, call_id: str, fields: ChunkFields, upload: Upload, event_id: str
) -> PendingEvent:
    """A chunk of a call."""
    arrived = deps.clock()

    async def build() -> Event:
        facts = await asyncio.to_thread(deps.probe_audio, upload.data, upload.media_type)
        if facts.duration_s > MAX_CHUNK_S:
            raise TooLarge(f"the chunk lasts {facts.duration_s:.0f} s, over the limit of {MAX_CHUNK_S:.0f} s: split it")
        if fields.speakers and len(fields.speakers) != facts.channels:
            raise Rejected(
                f"{len(fields.speakers)} speakers are named for {facts.channels} channels: one for each, or none"
            )
        blob = await _store_blob(deps, upload)
        return CallChunk(
            event_id=event_id,
            tenant=deps.settings.tenant,
            conversation_id=call_id,
            subject_id=fields.subject_id,
            source=fields.source,
            event_time=fields.event_time or arrived,
            ingested_at=deps.clock(),
            chunk_index=fields.index,
            start_s=fields.start_s,
            duration_s=facts.duration_s,
            sample_rate=facts.sample_rate,
            channels=facts.channels,
            speakers=fields.speakers,
            blob=blob,
        )

    digest = await asyncio.to_thread(fields.content_digest, f"call_chunk/{call_id}", upload.data)
    uid = pending_uid(deps, fields.source, call_id, event_id)
    return PendingEvent(event_id, uid, "call", digest, len(upload.data), build)


def pending_end(deps: IngestDeps, call_id: str, fields: EndFields, event_id: str) -> PendingEvent:
    """The end of a call."""

    async def build() -> Event:
        now = deps.clock()
        return CallEnd(
            event_id=event_id,
            tenant=deps.settings.tenant,
            conversation_id=call_id,
            subject_id=fields.subject_id,
            source=fields.source,
            event_time=fields.event_time or now,
            ingested_at=now,
            reason="ended",
            chunks=fields.chunks,
        )

    uid = pending_uid(deps, fields.source, call_id, event_id)
    return PendingEvent(event_id, uid, "call", fields.content_digest(f"call_end/{call_id}"), 0, build, sheddable=False)


def pending_uid(deps: IngestDeps, source: str, conversation_id: str, event_id: str) -> str:
    """Identity of an event that is to be written."""
    return event_uid(deps.settings.tenant, source, conversation_id, event_id)


async def _store_blob(deps: IngestDeps, upload: Upload) -> BlobRef:
    return await asyncio.to_thread(lambda: deps.blobs.put(upload.data, media_type=upload.media_type))
