"""From a request that was read to an event on the log: once for each event id, the bytes before the pointer.

In this order, and nothing is answered before the last:

1. is the id new, or the same content again? (:class:`~mmplatform.ingest.idempotency.RecentEvents`)
2. can the bytes be decoded? 3. the bytes are durable in the blob store 4. ``ingested_at`` is stamped
5. the log has acknowledged the event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from mmplatform.errors import Busy, Conflict, Rejected, TooLarge
from mmplatform.events import (
    MODALITY_OF_KIND,
    BlobRef,
    CallChunk,
    CallEnd,
    ChatMessage,
    Event,
    Modality,
    Position,
    Screenshot,
    encode,
)
from mmplatform.ingest.backpressure_policy import Over
from mmplatform.ingest.dependencies import IngestDeps
from mmplatform.ingest.schemas import MAX_CHUNK_S, Accepted, ChatBody, ChunkFields, EndFields, ScreenshotFields
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import MODALITIES, SHED
from mmplatform.web.bodies import Upload
from mmplatform.web.body_budget import Held


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event about to be written. ``make`` builds it, after its bytes are safe.

    ``sheddable``: it costs a model something. The end of a call does not, and without it the call would stay open.
    """

    event_id: str
    modality: Modality
    digest: bytes
    size: int
    make: Callable[[], Awaitable[Event]]
    sheddable: bool = True


class Intake:
    """Writes candidates onto the log."""

    def __init__(self, deps: IngestDeps) -> None:
        self._deps = deps

    @contextmanager
    def room(self, modality: Modality) -> Iterator[Held]:
        """Hold a request's bytes while it is answered; every Busy within is counted.

        Raises:
            Busy: the modality takes no more just now.
        """
        try:
            self._deps.gates[modality].check()
            with self._deps.budget.hold() as held:
                yield held
        except Busy:
            self._deps.metrics.busy.labels(modality).inc()
            raise

    def check_time(self, event_time: datetime | None) -> None:
        """Return when the time can be. Raises Rejected for one that lies too far ahead of our clock."""
        if event_time is None:
            return
        ahead = (event_time - self._deps.clock()).total_seconds()
        limit = self._deps.settings.max_future_s
        if ahead > limit:
            raise Rejected(f"event_time lies {ahead:.0f} s ahead of our clock, over the limit of {limit:.0f} s")

    async def accept(self, candidate: Candidate, held: Held | None = None) -> Accepted:
        """Write the event unless it is there; ``held`` are its bytes, which the write may need longer than its caller.

        Raises:
            Conflict: its id came before with other content.
            Rejected: its bytes cannot be decoded, or are too large.
            Busy: the log's writer is full.
            Unavailable: the blob store or the broker does not answer.
        """
        deps, gate = self._deps, self._deps.gates[candidate.modality]
        why = gate.check() if candidate.sheddable and gate.policy == "shed" else ()
        position, duplicate = await deps.recent.once(
            candidate.event_id, candidate.digest, lambda: self._write(candidate, held, why)
        )
        deps.metrics.events.labels(candidate.modality, "duplicate" if duplicate else "accepted").inc()
        if not duplicate:
            deps.metrics.bytes.labels(candidate.modality).inc(candidate.size)
            if why:
                deps.metrics.shed.labels(candidate.modality).inc()
            elif gate.closed and gate.policy == "buffer":
                deps.metrics.buffered.labels(candidate.modality).inc()
        return Accepted(
            event_id=candidate.event_id, position=position, duplicate=duplicate, shed=bool(why) and not duplicate
        )

    async def accept_all(self, candidates: list[Candidate], held: Held) -> list[Accepted]:
        """Write events, in order within a conversation; all ids are checked for conflicts before the first is written.

        Raises:
            As :meth:`accept`; the others may then be on the log, and the same call again finds them as duplicates.
        """
        digests: dict[str, bytes] = {}
        for candidate in candidates:
            self._deps.recent.check(candidate.event_id, candidate.digest)
            if digests.setdefault(candidate.event_id, candidate.digest) != candidate.digest:
                raise Conflict(f"event {candidate.event_id} is in the list twice, with different content")
        # Each write queues its record before it awaits anything, so that the log has the order of the list.
        return list(await asyncio.gather(*(self.accept(candidate, held) for candidate in candidates)))

    async def _write(self, candidate: Candidate, held: Held | None, why: tuple[Over, ...]) -> Position:
        with held or nullcontext():
            event = await candidate.make()
            shed = {SHED: ",".join(why).encode()} if why else {}
            spec = MODALITIES[MODALITY_OF_KIND[event.kind]]
            written = await asyncio.wrap_future(
                self._deps.log.send(
                    topic_name(self._deps.settings, spec.topic),
                    event.conversation_id,
                    encode(event),
                    timestamp=event.ingested_at,
                    headers={"event_id": event.event_id.encode(), "kind": event.kind.encode()} | shed,
                )
            )
        self._deps.gates[candidate.modality].took()  # here, since a caller that gave up does not take it back
        # A position names the topic as the platform does: without this Kafka's prefix.
        return written.model_copy(update={"topic": spec.topic})


def chat_candidate(deps: IngestDeps, body: ChatBody, event_id: str) -> Candidate:
    """A chat message; there are no bytes to keep. Raises TooLarge."""
    limit = deps.settings.max_chat_chars
    if len(body.text) > limit:
        raise TooLarge(f"event {event_id}: the text has {len(body.text)} characters, over the limit of {limit}")

    async def make() -> Event:
        now = deps.clock()
        said = body.model_dump(exclude={"event_id", "event_time"})
        return ChatMessage(event_id=event_id, event_time=body.event_time or now, ingested_at=now, **said)

    return Candidate(event_id, "chat", body.content_digest("chat_message"), len(body.text.encode()), make)


async def screenshot_candidate(deps: IngestDeps, said: ScreenshotFields, upload: Upload, event_id: str) -> Candidate:
    """An image."""
    arrived = deps.clock()

    async def make() -> Event:
        most = deps.settings.max_image_pixels
        facts = await asyncio.to_thread(deps.probe_image, upload.data, upload.media_type, most)
        blob = await _kept(deps, upload)
        return Screenshot(
            event_id=event_id,
            conversation_id=said.conversation_id,
            subject_id=said.subject_id,
            source=said.source,
            event_time=said.event_time or arrived,
            ingested_at=deps.clock(),
            width=facts.width,
            height=facts.height,
            blob=blob,
        )

    digest = await asyncio.to_thread(said.content_digest, "screenshot", upload.data)
    return Candidate(event_id, "screenshot", digest, len(upload.data), make)


async def chunk_candidate(
    deps: IngestDeps, call_id: str, said: ChunkFields, upload: Upload, event_id: str
) -> Candidate:
    """A piece of a call."""
    arrived = deps.clock()

    async def make() -> Event:
        facts = await asyncio.to_thread(deps.probe_audio, upload.data, upload.media_type)
        if facts.duration_s > MAX_CHUNK_S:
            raise TooLarge(f"the chunk lasts {facts.duration_s:.0f} s, over the limit of {MAX_CHUNK_S:.0f} s: split it")
        if said.speakers and len(said.speakers) != facts.channels:
            raise Rejected(
                f"{len(said.speakers)} speakers are named for {facts.channels} channels: one for each, or none"
            )
        blob = await _kept(deps, upload)
        return CallChunk(
            event_id=event_id,
            conversation_id=call_id,
            subject_id=said.subject_id,
            source=said.source,
            event_time=said.event_time or arrived,
            ingested_at=deps.clock(),
            chunk_index=said.index,
            start_s=said.start_s,
            duration_s=facts.duration_s,
            sample_rate=facts.sample_rate,
            channels=facts.channels,
            speakers=said.speakers,
            blob=blob,
        )

    digest = await asyncio.to_thread(said.content_digest, f"call_chunk/{call_id}", upload.data)
    return Candidate(event_id, "call", digest, len(upload.data), make)


def end_candidate(deps: IngestDeps, call_id: str, said: EndFields, event_id: str) -> Candidate:
    """The end of a call."""

    async def make() -> Event:
        now = deps.clock()
        return CallEnd(
            event_id=event_id,
            conversation_id=call_id,
            subject_id=said.subject_id,
            source=said.source,
            event_time=said.event_time or now,
            ingested_at=now,
            reason="ended",
            chunks=said.chunks,
        )

    return Candidate(event_id, "call", said.content_digest(f"call_end/{call_id}"), 0, make, sheddable=False)


async def _kept(deps: IngestDeps, upload: Upload) -> BlobRef:
    return await asyncio.to_thread(lambda: deps.blobs.put(upload.data, media_type=upload.media_type))
