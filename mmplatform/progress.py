"""Record of the progress topic: position of a deriver in one topic partition of events, and of its outputs.

Each record is a fact for ever, of any writer: every event before :attr:`Progress.next_offset` is derived, and what
was derived lies before :attr:`Progress.outputs`. So a deriver that was paused, and wakes behind its successor, says
nothing wrong.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from mmplatform.events import SCHEMA_VERSION, LogRecordBase, NonNegativeInt64, UtcDatetime
from mmplatform.parsing import parse

MAX_OPEN_CALLS: Final = 200
"""Open calls that one record names, the oldest ones: at most 600 kB. Of more, only their number is reported."""

MAX_CALL_SUBJECTS: Final = 20


class EventSource(NamedTuple):
    """A topic of events, without prefix, and a topic partition."""

    topic: str
    topic_partition: int


class OpenCall(LogRecordBase):
    """A call that is being spoken: its last audio is in no utterance yet."""

    conversation_key: str = Field(max_length=2_000, description="key of the call's records on the log")
    subjects: tuple[str, ...] = Field(
        max_length=MAX_CALL_SUBJECTS, description="keyed pseudonyms of those whom the audio is about"
    )
    since: UtcDatetime = Field(description="when the gateway accepted the first audio that is in no utterance yet")


class Progress(LogRecordBase):
    """Progress of the derivation in one topic partition of events."""

    kind: Literal["progress"] = "progress"
    schema_version: Literal[2] = SCHEMA_VERSION
    topic: str = Field(max_length=249, description="of the events, without prefix")
    topic_partition: NonNegativeInt64
    generation: NonNegativeInt64 = Field(default=0, description="of the log in which the offset counts")
    next_offset: NonNegativeInt64 = Field(description="every event before it is derived, quarantined or a dead letter")
    complete_until: UtcDatetime | None = Field(
        default=None,
        description="every event that was acknowledged before this time of the log is derived; null: not known yet",
    )
    outputs: dict[int, NonNegativeInt64] = Field(
        description="next offset by topic partition of artifacts: what was derived lies before it"
    )
    open_calls: tuple[OpenCall, ...] = Field(default=(), max_length=MAX_OPEN_CALLS, description="calls being spoken")
    source_partitions: NonNegativeInt64 = Field(
        default=0, description="topic partitions of its topic, at a time behind ``complete_until``"
    )
    open_call_count: NonNegativeInt64 = Field(default=0, description="their number, where not all are named")

    @property
    def source(self) -> EventSource:
        """Its topic partition of events."""
        return EventSource(self.topic, self.topic_partition)

    @property
    def order(self) -> tuple[int, int]:
        """Grows with the progress: a record with a lower one says less."""
        return self.generation, self.next_offset


_PROGRESS: Final = TypeAdapter(Progress)


def decode_progress(value: bytes | None) -> Progress:
    """Parse a record of the progress topic. Raises UnknownRelease, Rejected."""
    return parse(_PROGRESS, value, "a progress record")


def progress_schema() -> dict[str, Any]:
    """The JSON Schema of a record of the progress topic."""
    return _PROGRESS.json_schema()
