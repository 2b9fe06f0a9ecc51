"""What is remembered of a call between two of its events: pointers and numbers, no audio and no word."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from mmplatform.derive.call.redaction import Span
from mmplatform.derive.call.vad import QUIET_LINE_DBFS
from mmplatform.events import BlobRef, CallChunk, CallEnd, Position, Record, reasons

MAX_GAPS: Final = 200
"""Gaps whose chunks may come yet, however many chunks each has; of a source with more holes, the last ones."""

MAX_WAITING_CHUNKS: Final = 256
"""Chunks that wait for an earlier one. A source that sends more at once without it has lost it."""

MAX_STATE_BYTES: Final = 512 * 1024
"""Of a call's state as JSON: it is a record of the log, which takes 900 kB, and is written with every event."""


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
    def from_event(cls, event: CallChunk, position: Position) -> ChunkRef:
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


class AudioGap(Record):
    """A place without audio.

    Attributes:
        first: the first chunk that is missing.
        last: the last one; less than ``first`` where none is: there the source itself left a hole before ``first``.
    """

    first: int
    last: int
    start_s: float
    end_s: float

    @property
    def chunks(self) -> int:
        """How many are missing."""
        return self.last - self.first + 1

    def without(self, chunk: ChunkRef, *, min_s: float) -> tuple[AudioGap, ...]:
        """What is left of the gap now that one of its chunks came; a place without a chunk from ``least_s`` on."""
        begin_s = min(max(chunk.start_s, self.start_s), self.end_s)
        end_s = max(min(chunk.end_s, self.end_s), begin_s)
        before = AudioGap(first=self.first, last=chunk.index - 1, start_s=self.start_s, end_s=begin_s)
        behind = AudioGap(first=chunk.index + 1, last=self.last, start_s=end_s, end_s=self.end_s)
        return tuple(part for part in (before, behind) if part.chunks or part.end_s - part.start_s > min_s)


class RecentUtterance(Record):
    """One of the things said last on a channel: what is said next is redacted together with it.

    Attributes:
        key: where the memo keeps what was really said.
        origin: where the memo keeps what it was made of.
        spans: what of it was redacted, in characters of it.
        start_s: of its first word.
        end_s: of its last word.
        seconds: compute that was spent on it.
        memo_hit: none was, because the memo knew it.
    """

    key: str
    origin: str
    spans: tuple[Span, ...]
    start_s: float
    end_s: float
    seconds: float
    memo_hit: bool


class ChannelState(Record):
    """One channel so far.

    Attributes:
        keep_s: from when on its audio is needed, in seconds from the start of the call.
        noise_dbfs: its noise there.
        languages: seconds of speech in each language, of windows that are long enough to tell.
        recent: what was said last, in time order.
    """

    keep_s: float
    noise_dbfs: float = QUIET_LINE_DBFS
    languages: tuple[tuple[str, float], ...] = ()
    recent: tuple[RecentUtterance, ...] = ()


class LateStretch(Record):
    """Chunks that came late, one behind the other, and whose audio is still needed; the channels as in the call."""

    run: tuple[ChunkRef, ...]
    channels: tuple[ChannelState, ...]


class FingerprintPage(Record):
    """Marks of the audio of neighbouring chunks, one behind the other."""

    number: int
    marks: str


class AcceptedChunks(Record):
    """Which chunks were taken in (:mod:`mmplatform.derive.call.dedup`).

    Attributes:
        open: pages that are being written, the last used first.
        kept: of the others the number, and where the memo keeps it.
    """

    open: tuple[FingerprintPage, ...] = ()
    kept: tuple[tuple[int, str], ...] = ()


class CallState(Record):
    """One call so far.

    Attributes:
        next_index: the chunk that continues what was taken in.
        heard_s: up to when the call was taken in, or given up, in seconds from its start.
        chunk_s: how long its last chunk was.
        waiting: chunks that came before their turn, by index.
        run: the chunks, without a hole between them, whose audio is still needed.
        channels: what is known of each channel.
        late: the stretch that fills a gap just now.
        gaps: what is missing before ``next_index``, by index.
        tail: what is missing behind it, once the source said how many chunks there are.
        total: how many chunks the call has, once its source said so.
        taken: which chunks were taken in.
        torn_s: since when speech was open that an unreadable state took with it; to be marked by the next step.
    """

    schema_version: Literal[2] = 2
    next_index: int = Field(default=0, ge=0)
    heard_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    chunk_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    waiting: tuple[ChunkRef, ...] = ()
    run: tuple[ChunkRef, ...] = ()
    channels: tuple[ChannelState, ...] = ()
    late: LateStretch | None = None
    gaps: tuple[AudioGap, ...] = ()
    tail: AudioGap | None = None
    total: int | None = None
    ended: bool = Field(default=False, description="the source said so; what comes later is still taken")
    taken: AcceptedChunks = AcceptedChunks()
    torn_s: float | None = None

    @property
    def complete(self) -> bool:
        """All that the source says there is was taken in: nothing but repetitions can come."""
        done = self.ended and self.total is not None and self.next_index >= self.total
        return done and not (self.waiting or self.run or self.late or self.gaps)


class _ResumePoint(BaseModel):
    """The least of a state that lets a call go on behind what was taken in."""

    next_index: int = Field(ge=0)
    heard_s: float = Field(ge=0, allow_inf_nan=False)
    total: int | None = Field(default=None, ge=0)
    ended: bool = False


def restore_state(stored: Any, event: CallChunk | CallEnd) -> tuple[CallState, str]:
    """A state as a store kept it, and what was wrong with it, without its values; empty when nothing was.

    One that does not validate was kept by another release, or is damaged. To refuse it would lose the rest of the call,
    and to begin at chunk 0 would mark as missing what was derived. So the call goes on behind what was taken in, or
    when not even that can be read, at this event. Speech that was open is marked as a gap, and chunks that waited are
    missing until they come again. Nothing is migrated: a state is needed as long as its call lasts.
    """
    try:
        return CallState.model_validate(stored), ""
    except ValidationError as error:
        wrong = reasons(error)
    known: dict[str, Any] = stored if isinstance(stored, dict) else {}
    try:
        place = _ResumePoint.model_validate({name: known[name] for name in _ResumePoint.model_fields if name in known})
    except ValidationError:
        place = _resume_point(event)
    torn_s = min(max(_open_since_s(known), 0.0), place.heard_s)
    return CallState(**vars(place), torn_s=torn_s), wrong


def _resume_point(event: CallChunk | CallEnd) -> _ResumePoint:
    if isinstance(event, CallChunk):
        return _ResumePoint(next_index=event.chunk_index, heard_s=event.start_s)
    return _ResumePoint(next_index=event.chunks or 0, heard_s=0.0)


def _open_since_s(known: dict[str, Any]) -> float:
    """Since when the audio of a channel was needed; for ever when that cannot be read, which is no time at all."""
    channels = known.get("channels")
    found = [each.get("keep_s") for each in channels if isinstance(each, dict)] if isinstance(channels, list) else []
    return min((float(since) for since in found if isinstance(since, int | float)), default=math.inf)
