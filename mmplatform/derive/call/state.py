"""State of a call between two of its events: pointers and numbers, no audio and no word.

The field names are those of the stored JSON: renaming one restarts every open call.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from mmplatform.derive.call.origin import UtteranceOrigin
from mmplatform.derive.call.vad import QUIET_LINE_DBFS
from mmplatform.derive.pii.replacement import Span
from mmplatform.events import BlobRef, CallChunk, CallEnd, Position, Record
from mmplatform.parsing import safe_validation_message

_MEMO_STATE_VERSION: Final = 2
MAX_GAPS: Final = 200
"""Gaps whose chunks may still come, however many chunks each has; of a source with more gaps, the last ones."""

MAX_WAITING_CHUNKS: Final = 256
"""Chunks that wait for an earlier one. A source that sends more without it has lost it."""

MAX_STATE_BYTES: Final = 512 * 1024
"""Size of a call's state as JSON: it is a record of the log (limit 900 kB), written with every event."""


class ChunkRef(Record):
    """Pointer to a chunk whose audio is still needed.

    Attributes:
        subject_id: the subject of its audio, and so of its utterances, whichever event completes them.
        lost: its audio was readable once and is missing now; it counts as silence.
        skipped_s: seconds at the start of its audio that are not used: another chunk has that time.
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
    skipped_s: float = 0.0

    def within(self, from_s: float, until_s: float) -> ChunkRef | None:
        """Narrow it to a stretch of the call; None when nothing of it lies there."""
        start_s, end_s = max(self.start_s, from_s), min(self.end_s, until_s)
        if end_s <= start_s:
            return None
        skipped_s = self.skipped_s + start_s - self.start_s
        return self.model_copy(update={"start_s": start_s, "duration_s": end_s - start_s, "skipped_s": skipped_s})

    @property
    def end_s(self) -> float:
        """Seconds from the start of the call to its last sample."""
        return self.start_s + self.duration_s

    @classmethod
    def from_event(cls, event: CallChunk, position: Position) -> ChunkRef:
        """Build the pointer from a chunk's event."""
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
    """Stretch of a call without audio.

    Attributes:
        first: the first chunk that is missing.
        last: the last one; less than ``first`` without missing chunks: the source itself paused before ``first``.
    """

    first: int
    last: int
    start_s: float
    end_s: float

    @property
    def chunks(self) -> int:
        """Number of missing chunks."""
        return self.last - self.first + 1

    def without(self, chunk: ChunkRef, *, min_s: float) -> tuple[AudioGap, ...]:
        """Remove one of the gap's chunks; a remainder without chunks counts only when longer than ``min_s``."""
        chunk_start_s = min(max(chunk.start_s, self.start_s), self.end_s)
        chunk_end_s = max(min(chunk.end_s, self.end_s), chunk_start_s)
        before = AudioGap(first=self.first, last=chunk.index - 1, start_s=self.start_s, end_s=chunk_start_s)
        after = AudioGap(first=chunk.index + 1, last=self.last, start_s=chunk_end_s, end_s=self.end_s)
        return tuple(gap for gap in (before, after) if gap.chunks or gap.end_s - gap.start_s > min_s)


class RecentUtterance(Record):
    """Recent utterance of a channel: the next one is redacted together with it.

    Attributes:
        key: memo key of its unredacted transcription: a hash of its samples, and the language that it was given.
        transcriber: name and version of the model that transcribed it.
        chars: length of the transcription.
        origin: everything of it but its words; without ``chunks`` when these are spilled.
        spilled_chunks: blob with the origin's chunks, when they are many.
        spans: redacted spans, in characters of the transcription.
        start_s: start of its first word.
        end_s: end of its last word.
        seconds: compute spent on it.
        memo_hit: the memo answered, so none was spent.
    """

    key: str
    transcriber: str
    chars: int
    origin: UtteranceOrigin
    spilled_chunks: BlobRef | None = None
    spans: tuple[Span, ...]
    start_s: float
    end_s: float
    seconds: float
    memo_hit: bool

    @property
    def language(self) -> str | None:
        """Language in which it was transcribed; None: the model detected it."""
        return self.key.partition(" ")[2] or None


class ChannelState(Record):
    """State of one channel.

    Attributes:
        keep_s: start of the audio that is still needed, in seconds from the start of the call.
        noise_dbfs: noise level at ``keep_s``.
        languages: seconds of speech in each language, of windows long enough to detect it.
        recent: the last utterances, in time order.
    """

    keep_s: float
    noise_dbfs: float = QUIET_LINE_DBFS
    languages: tuple[tuple[str, float], ...] = ()
    recent: tuple[RecentUtterance, ...] = ()


class LateStretch(Record):
    """Contiguous late chunks whose audio is still needed; channels as in the call."""

    run: tuple[ChunkRef, ...]
    channels: tuple[ChannelState, ...]


class FingerprintPage(Record):
    """Concatenated audio fingerprints (``marks``) of neighbouring chunks."""

    number: int
    marks: str


class AcceptedChunks(Record):
    """Accepted chunks by fingerprint (:mod:`mmplatform.derive.call.dedup`).

    Attributes:
        open: pages in the state, the last used first.
        kept: number and blob key of each spilled page.
    """

    open: tuple[FingerprintPage, ...] = ()
    kept: tuple[tuple[int, str], ...] = ()


class CallState(Record):
    """State of one call.

    Attributes:
        next_index: the chunk that continues the call.
        heard_s: end of the accepted or skipped audio, in seconds from the start of the call.
        chunk_s: duration of its last chunk.
        waiting: chunks that came early, by index.
        run: contiguous chunks whose audio is still needed.
        channels: state of each channel.
        late: the late stretch that is filling a gap.
        gaps: gaps before ``next_index``, by index.
        tail: gap from ``next_index`` to the end, once the source reported the number of chunks.
        total: number of chunks of the call, once the source reported it.
        taken: accepted chunks.
        torn_s: start of speech that was lost with an unreadable state; the next event marks it as a gap.
    """

    schema_version: Literal[3] = 3
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
    ended: bool = Field(default=False, description="the source reported the end; later chunks are still accepted")
    taken: AcceptedChunks = AcceptedChunks()
    torn_s: float | None = None

    @property
    def complete(self) -> bool:
        """All reported chunks were accepted: only duplicates can come."""
        counted = self.ended and self.total is not None and self.next_index >= self.total
        return counted and not (self.waiting or self.run or self.late or self.gaps)


class _ResumePoint(BaseModel):
    """Minimum of a state that lets a call resume after its accepted chunks."""

    next_index: int = Field(ge=0)
    heard_s: float = Field(ge=0, allow_inf_nan=False)
    total: int | None = Field(default=None, ge=0)
    ended: bool = False


def restore_state(stored: Any, event: CallChunk | CallEnd) -> tuple[CallState, str]:
    """Restore a stored state; also return the validation errors, without values, empty when it validates.

    A state that does not validate was stored by another release, or is damaged. Refusing it would lose the rest of the
    call, and restarting at chunk 0 would mark derived audio as missing. So the call resumes after its accepted chunks,
    or at this event when not even those can be read. Open speech is marked as a gap, and waiting chunks are missing
    until they come again. Only version 2 is migrated: it goes on without what it had in the memo.
    """
    try:
        return CallState.model_validate(_without_memo_keys(stored)), ""
    except ValidationError as error:
        errors = safe_validation_message(error)
    fields: dict[str, Any] = stored if isinstance(stored, dict) else {}
    try:
        resume = _ResumePoint.model_validate(
            {name: fields[name] for name in _ResumePoint.model_fields if name in fields}
        )
    except ValidationError:
        resume = _resume_at(event)
    torn_s = min(max(_open_since_s(fields), 0.0), resume.heard_s)
    return CallState(**vars(resume), torn_s=torn_s), errors


def _without_memo_keys(stored: Any) -> Any:
    """Drop what a state of version 2 had in the memo: its recent utterances and its spilled pages."""
    if not isinstance(stored, dict) or stored.get("schema_version") != _MEMO_STATE_VERSION:
        return stored
    channels, accepted = stored.get("channels"), stored.get("taken")
    if not isinstance(channels, list) or not all(isinstance(channel, dict) for channel in channels):
        return stored
    return {
        **stored,
        "schema_version": 3,
        "channels": [{**channel, "recent": []} for channel in channels],
        "taken": {**accepted, "kept": []} if isinstance(accepted, dict) else accepted,
    }


def _resume_at(event: CallChunk | CallEnd) -> _ResumePoint:
    if isinstance(event, CallChunk):
        return _ResumePoint(next_index=event.chunk_index, heard_s=event.start_s)
    return _ResumePoint(next_index=event.chunks or 0, heard_s=0.0)


def _open_since_s(fields: dict[str, Any]) -> float:
    """Read the start of the needed audio of all channels; infinite, so no audio, when it cannot be read."""
    channels = fields.get("channels")
    starts = (
        [channel.get("keep_s") for channel in channels if isinstance(channel, dict)]
        if isinstance(channels, list)
        else []
    )
    return min((float(start) for start in starts if isinstance(start, int | float)), default=math.inf)
