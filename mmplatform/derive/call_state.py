"""What is remembered of a call between two of its events: pointers and numbers, no audio, no word but redacted ones."""

from __future__ import annotations

from typing import Final

from pydantic import AwareDatetime, Field

from mmplatform.artifacts import Utterance
from mmplatform.derive.call_redaction import Span
from mmplatform.derive.voice import QUIET_LINE_DBFS
from mmplatform.events import BlobRef, CallChunk, Position, Record

MOST_GAPS: Final = 200
"""Missing chunks that are remembered, and marked one by one; of a source that skips further, the last ones."""

MOST_WAITING: Final = 256
"""Chunks that wait for an earlier one. A source that sends more at once without it has lost it."""


class ChunkRef(Record):
    """A chunk whose audio is still needed.

    Attributes:
        subject_id: whom its audio is about: what was said is theirs, whoever's event completes it.
        lost: its audio was there once and is gone; it is silence from now on.
    """

    event_id: str
    subject_id: str
    index: int
    start_s: float
    duration_s: float
    event_time: AwareDatetime
    ingested_at: AwareDatetime
    speakers: tuple[str, ...]
    blob: BlobRef
    position: Position
    lost: bool = False

    @property
    def end_s(self) -> float:
        """Seconds from the start of the call to its last sample."""
        return self.start_s + self.duration_s

    @classmethod
    def of(cls, event: CallChunk, position: Position) -> ChunkRef:
        """Remember a chunk."""
        return cls(
            event_id=event.event_id,
            subject_id=event.subject_id,
            index=event.chunk_index,
            start_s=event.start_s,
            duration_s=event.duration_s,
            event_time=event.event_time,
            ingested_at=event.ingested_at,
            speakers=event.speakers,
            blob=event.blob,
            position=position,
        )


class Gap(Record):
    """A chunk that did not come in time; its place is marked until it comes after all."""

    index: int
    start_s: float
    end_s: float


class LastSaid(Record):
    """What was said last on a channel: the context for what is said next.

    Attributes:
        key: where the memo keeps what was really said.
        spans: what of it was redacted, in characters of it.
        utterance: as it was published.
    """

    key: str
    spans: tuple[Span, ...]
    utterance: Utterance


class Channel(Record):
    """One channel so far.

    Attributes:
        keep_s: from when on its audio is needed, in seconds from the start of the call.
        noise_dbfs: its noise there.
        languages: seconds of speech in each language, of windows that are long enough to tell.
        last: what was said last.
    """

    keep_s: float
    noise_dbfs: float = QUIET_LINE_DBFS
    languages: tuple[tuple[str, float], ...] = ()
    last: LastSaid | None = None


class CallState(Record):
    """One call so far.

    Attributes:
        next_index: the chunk that continues what was taken in.
        heard_s: up to when the call was taken in, or given up, in seconds from its start.
        waiting: chunks that came before their turn, by index.
        run: the chunks, without a hole between them, whose audio is still needed.
        channels: what is known of each channel.
        gaps: what is missing.
        total: how many chunks the call has, once its source said so.
    """

    next_index: int = 0
    heard_s: float = 0.0
    waiting: tuple[ChunkRef, ...] = ()
    run: tuple[ChunkRef, ...] = ()
    channels: tuple[Channel, ...] = ()
    gaps: tuple[Gap, ...] = ()
    total: int | None = None
    ended: bool = Field(default=False, description="the source said so; what comes later is still taken")
