"""Versioned events on the replay log, and the pointers that they carry.

An event is one arrival. Bytes (audio, images) never travel in it: a :class:`BlobRef` does (the claim-check pattern,
Hohpe & Woolf, "Enterprise Integration Patterns", 2003). An event is identified by tenant, source, conversation and its
own id. Every event of a conversation has the same key on the log, so that it stays in order on one topic partition.

``ingested_at`` is stamped by the gateway just before the event goes onto the log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from mmplatform.identity import (
    DEFAULT_TENANT,
    SourceName,
    TenantId,
    conversation_key,
    event_uid,
    stable_id,
    subject_key,
)
from mmplatform.parsing import parse

SCHEMA_VERSION: Final = 2
"""Major version of every record of the log. A reader refuses another one; new fields do not raise it."""

Modality = Literal["chat", "call", "screenshot"]
MAX_INTEGER: Final = 2**63 - 1
"""The largest integer of every store downstream. A larger one would end the worker that lands it, at each retry."""

NonNegativeInt64 = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Identifier = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies beyond the calendar") from None


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A time in UTC. The first and last hours of the calendar have no UTC, so that no store could hold them."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
SpeakerName = Annotated[str, Field(max_length=64)]
MAX_SPEAKERS: Final = 8
"""The maximum number of channels of a call."""


class Record(BaseModel):
    """Frozen, closed record: unknown fields are refused, so that a misspelled field is not read as a missing one."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="constants",
        hide_input_in_errors=True,  # the message of an unexpected error ends in a log
    )


class LogRecordBase(Record):
    """Record of the log: open, so that a reader keeps and passes on the fields that a newer release writes."""

    # An unknown field may be NaN, which is no JSON.
    model_config = ConfigDict(extra="allow", ser_json_inf_nan="null")


class BlobRef(LogRecordBase):
    """Pointer to immutable bytes: ``sha256`` is both their checksum and their name."""

    key: str = Field(max_length=1024, description="where the store keeps it")
    sha256: Sha256
    size: int = Field(ge=0, le=2**53, description="bytes")
    media_type: str = Field(max_length=100)


_NO_CONTENT: Final = frozenset(
    {"event_time", "ingested_at", "schema_version", "tenant", "source", "conversation_id", "event_id"}
    | {"duration_s", "sample_rate", "channels", "width", "height"}
)
"""Fields that do not tell two contents apart: identity, what the bytes say anyway, and times. A source that stamps at
sending repeats an event with another time."""


class EventBase(LogRecordBase):
    """Fields common to every event; ``kind`` names its class.

    ``tenant``, ``source``, ``conversation_id`` and ``event_id`` together identify it.
    """

    kind: str
    schema_version: Literal[2] = SCHEMA_VERSION
    tenant: TenantId = DEFAULT_TENANT
    source: SourceName = Field(default="", description="the system that sent it, whose ids these are")
    conversation_id: Identifier
    event_id: Identifier
    subject_id: Identifier = Field(description="the person whom the data is about")
    event_time: UtcDatetime = Field(description="when it happened, at the source")
    ingested_at: UtcDatetime = Field(description="when the gateway accepted it")

    @property
    def uid(self) -> str:
        """Identity of the event, 32 hex digits."""
        return event_uid(self.tenant, self.source, self.conversation_id, self.event_id)

    @property
    def conversation_key(self) -> str:
        """Identity of its conversation: the key of its records on the log."""
        return conversation_key(self.tenant, self.source, self.conversation_id)

    @property
    def subject_key(self) -> str:
        """Identity of its subject."""
        return subject_key(self.tenant, self.subject_id)

    @property
    def digest(self) -> str:
        """Digest of its content, 32 hex digits: the same for a repetition, another one for a conflict."""
        # Without defaults, so that a field which a later release adds does not change the digests of earlier events.
        fields = self.model_dump(mode="json", exclude=set(_NO_CONTENT), exclude_defaults=True)
        # Sorted: a field that one reader knows and another one only keeps has the same place in both.
        return stable_id("content", self.kind, json.dumps(fields, sort_keys=True, ensure_ascii=False))


class ChatMessage(EventBase):
    """One message of a chat."""

    kind: Literal["chat_message"] = "chat_message"
    role: Literal["customer", "agent", "bot", "system"]
    text: str


class ChatChangeBase(EventBase):
    """Fields common to the changes of a chat message, which have ids of their own.

    Of several changes of one message the one with the highest ``revision`` counts; without one, the order of the log.
    """

    message_id: Identifier = Field(description="event_id of the message that it changes, in the same conversation")
    revision: NonNegativeInt64 | None = Field(
        default=None,
        description="grows with each change of the message: the source's number, or its time in microseconds",
    )

    @property
    def message_uid(self) -> str:
        """Identity of the message."""
        return event_uid(self.tenant, self.source, self.conversation_id, self.message_id)


class ChatEdited(ChatChangeBase):
    """A chat message has another text now; ``text`` is the new text as a whole."""

    kind: Literal["chat_edited"] = "chat_edited"
    text: str


class ChatDeleted(ChatChangeBase):
    """A chat message was deleted: it is no longer found. Its raw history stays."""

    kind: Literal["chat_deleted"] = "chat_deleted"


class ChatRedacted(ChatChangeBase):
    """A chat message must be gone: it is no longer found, and its raw text is to be destroyed."""

    kind: Literal["chat_redacted"] = "chat_redacted"


class CallChunk(EventBase):
    """One piece of a call's audio; ``event_time`` is the time at which its last sample was captured."""

    kind: Literal["call_chunk"] = "call_chunk"
    chunk_index: int = Field(
        ge=0, le=10_000_000, description="position in the call, from 0, without holes when nothing is lost"
    )
    start_s: float = Field(ge=0, le=1e7, allow_inf_nan=False, description="seconds from the start of the call")
    duration_s: float = Field(gt=0, le=1e7, allow_inf_nan=False, description="seconds")
    sample_rate: int = Field(gt=0, le=2**31 - 1, description="Hz, as sent")
    channels: int = Field(ge=1, le=2**31 - 1, description="as sent")
    speakers: tuple[SpeakerName, ...] = Field(
        default=(), max_length=MAX_SPEAKERS, description="who speaks on each channel; empty when not known"
    )
    blob: BlobRef

    @property
    def call_id(self) -> str:
        """A call is a conversation."""
        return self.conversation_id

    @property
    def end_s(self) -> float:
        """Seconds from the start of the call to this chunk's last sample."""
        return self.start_s + self.duration_s


class CallEnd(EventBase):
    """End of a call, sent by the source, or by the idle watch (``idle``) so that pending audio is derived."""

    kind: Literal["call_end"] = "call_end"
    reason: Literal["ended", "idle"] = "ended"
    chunks: int | None = Field(
        default=None, ge=0, le=10_000_001, description="how many chunks were sent, when the source knows"
    )


class Screenshot(EventBase):
    """One image that a person shared."""

    kind: Literal["screenshot"] = "screenshot"
    width: int = Field(gt=0, le=2**31 - 1, description="pixels")
    height: int = Field(gt=0, le=2**31 - 1, description="pixels")
    blob: BlobRef


ChatChange = ChatEdited | ChatDeleted | ChatRedacted
ChatEvent = ChatMessage | ChatChange
Event = ChatEvent | CallChunk | CallEnd | Screenshot
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])

MODALITY_BY_KIND: dict[str, Modality] = {
    "chat_message": "chat",
    "chat_edited": "chat",
    "chat_deleted": "chat",
    "chat_redacted": "chat",
    "call_chunk": "call",
    "call_end": "call",
    "screenshot": "screenshot",
}


class Position(LogRecordBase):
    """Position of a record on the replay log.

    ``generation`` grows when the log begins again or its topic partitions are raised: a later generation is newer,
    whatever its offsets.
    """

    topic: str = Field(max_length=249)
    topic_partition: int = Field(ge=0, le=2**31 - 1)
    offset: NonNegativeInt64
    generation: Annotated[int, Field(ge=0, lt=10**16)] = 0


E_co = TypeVar("E_co", bound=Event, covariant=True)


@dataclass(frozen=True, slots=True)
class Arrival(Generic[E_co]):
    """An event with its position on the log."""

    event: E_co
    position: Position


def encode(record: Record) -> bytes:
    """Serialise any record as UTF-8 JSON."""
    return record.model_dump_json().encode()


def decode_event(value: bytes | str | None) -> Event:
    """Parse an event from the log.

    Raises:
        Rejected: the value is no JSON, of an unknown kind or version, or a field is wrong.
    """
    return parse(_EVENT, value, "an event")


def event_schema() -> dict[str, Any]:
    """The JSON Schema of every event."""
    return _EVENT.json_schema()


def utc_now() -> datetime:
    """The current time in UTC: the one clock of all stamps."""
    return datetime.now(UTC)
