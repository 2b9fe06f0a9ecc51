"""Request and response records: one closed record for each endpoint, shared with the client.

Texts and ids with NUL or half a surrogate pair are refused: not every store can hold them. So are values that the
contract of their table would quarantine (:mod:`quality.contracts`): here the source can still fix them.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)

from mmplatform.events import MAX_INTEGER, MAX_SPEAKERS, Identifier, Position, Record, SpeakerName
from mmplatform.web.validation import InvalidRequest, invalid_request, invalid_request_from_details
from quality.contracts import MAX_CALL_S, MIN_EVENT_TIME, VISIBLE_CHARACTER, ContractLimits

MAX_BATCH: Final = 500
MAX_CHUNK_S: Final = ContractLimits().max_chunk_s
_VISIBLE: Final = re.compile(VISIBLE_CHARACTER)


def _to_utc(moment: datetime) -> datetime:
    # Compare before the conversion, which overflows on the first and last days of the calendar.
    if moment < MIN_EVENT_TIME:
        raise ValueError(f"is before {MIN_EVENT_TIME:%Y-%m-%d}: correct the clock of the source")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar: send a time before the year 10000") from None


def _not_blank(text: str) -> str:
    if _VISIBLE.search(text) is None:
        raise ValueError("is blank: send at least one visible character")
    return text


def _split_names(value: Any) -> Any:
    """Names, given once with commas, or repeated; no name has a comma."""
    if not isinstance(value, str | list):
        return value
    given = [value] if isinstance(value, str) else value
    if not all(isinstance(names, str) for names in given):
        return value
    return tuple(name.strip() for names in given if names for name in names.split(","))


EventTime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$"), AfterValidator(_not_blank)]
Speaker = Annotated[SpeakerName, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f,]+$")]
CallId = Annotated[str, Field(min_length=1, max_length=180, pattern=r"^[^\x00-\x1f\x7f\ufffd]+$")]
"""A call's id: shorter than an identifier, since chunk ids contain it. U+FFFD marks an id with broken encoding."""


class _FromSource(Record):
    """Fields that every source may send. ``event_time`` defaults to now, at the gateway."""

    subject_id: Identifier
    event_time: EventTime | None = None
    source: str = Field(default="", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")

    def content_digest(self, kind: str, data: bytes = b"") -> bytes:
        """Digest that is compared when an event id arrives again.

        It covers all fields and the bytes, but not ``event_time``: a source that stamps at sending repeats a request
        with another time, and the first one counts.
        """
        fields = self.model_dump(mode="json", exclude={"event_time"})
        digest = hashlib.sha256(json.dumps([kind, fields], sort_keys=True).encode())
        digest.update(hashlib.sha256(data).digest())
        return digest.digest()


class ChatBody(_FromSource):
    """One chat message. Without ``event_id`` a repeated request is a second message."""

    kind: Literal["chat_message"] = Field(default="chat_message", exclude=True)
    event_id: Identifier | None = None
    conversation_id: Identifier
    role: Literal["customer", "agent", "bot", "system"]
    text: Text


class _ChatChangeFields(_FromSource):
    """Fields of every change of a message.

    ``revision`` grows with each change: the source's number, or its time in microseconds. ``event_id`` is the id of the
    change itself. By default it follows from the revision; without one, each edit is another one.
    """

    event_id: Identifier | None = None
    conversation_id: Identifier
    revision: int | None = Field(default=None, ge=0, le=MAX_INTEGER)


class EditFields(_ChatChangeFields):
    """Fields of an edit: the new text as a whole."""

    text: Text


class DeleteFields(_ChatChangeFields):
    """Fields of a deletion; with ``redact`` the raw text must be destroyed too."""

    redact: bool = False


class EditBody(EditFields):
    """An edit of the message ``message_id`` of the same conversation, in a list."""

    kind: Literal["chat_edited"] = "chat_edited"
    message_id: Identifier


class DeleteBody(_ChatChangeFields):
    """A deletion of the message ``message_id``, in a list: no longer found, its raw history stays."""

    kind: Literal["chat_deleted"] = "chat_deleted"
    message_id: Identifier


class RedactBody(_ChatChangeFields):
    """A redaction of the message ``message_id``, in a list: no longer found, its raw text is to be destroyed."""

    kind: Literal["chat_redacted"] = "chat_redacted"
    message_id: Identifier


ChatChangeBody = EditBody | DeleteBody | RedactBody
AnyChatBody = ChatBody | ChatChangeBody


class ScreenshotFields(_FromSource):
    """Fields of one image: form fields, query parameters or ``X-`` headers."""

    event_id: Identifier | None = None
    conversation_id: Identifier


class ChunkFields(_FromSource):
    """Fields of one audio chunk. ``event_id`` defaults to ``call_id:index``."""

    event_id: Identifier | None = None
    index: int = Field(ge=0, le=10_000_000)
    start_s: float = Field(ge=0, le=MAX_CALL_S, allow_inf_nan=False)
    speakers: Annotated[tuple[Speaker, ...], BeforeValidator(_split_names), Field(max_length=MAX_SPEAKERS)] = ()


class EndFields(_FromSource):
    """Fields of a call's end. ``event_id`` defaults to ``call_id:end``."""

    event_id: Identifier | None = None
    chunks: int | None = Field(default=None, ge=0, le=10_000_001)


class StreamPosition(Record):
    """Position of a stream on the log: the chunk, and the seconds of the call and bytes of the stream up to its end."""

    index: int = Field(ge=0, le=10_000_000)
    end_s: float = Field(ge=0, le=2 * MAX_CALL_S, allow_inf_nan=False)
    bytes: int = Field(ge=0, le=2**53)


class StreamStart(_FromSource):
    """First message of a stream: what it is, and where it goes on.

    ``resume`` is the last acknowledgement of the connection before; ``index`` and ``start_s`` begin a new recording in
    a call that has audio already. ``event_time`` is when the call began; without it a chunk happens as it arrives.
    """

    type: Literal["start"] = "start"
    media_type: str = Field(min_length=1, max_length=100)
    speakers: Annotated[tuple[Speaker, ...], BeforeValidator(_split_names), Field(max_length=MAX_SPEAKERS)] = ()
    chunk_s: float = Field(default=1.0, ge=0.2, le=30)
    index: int = Field(default=0, ge=0, le=10_000_000)
    start_s: float = Field(default=0.0, ge=0, le=MAX_CALL_S, allow_inf_nan=False)
    resume: StreamPosition | None = None


class Accepted(Record):
    """Response 202: the event's position on the log. ``duplicate``: it was on the log already, at this position.

    ``shed``: it is stored, and not derived until its hour is reprocessed; always false for a duplicate. ``token``: a
    search that names it waits until the event is in reach.
    """

    event_id: str
    position: Position
    duplicate: bool
    shed: bool = False
    token: str = Field(default="", max_length=200)


_CHAT_KINDS: Final = ("chat_message", "chat_edited", "chat_deleted", "chat_redacted")


def _chat_kind(body: Any) -> Any:
    """The kind of a chat's body; a body without one is a message."""
    return body.get("kind", "chat_message") if isinstance(body, dict) else getattr(body, "kind", "chat_message")


TaggedChatBody = Annotated[
    Annotated[ChatBody, Tag("chat_message")]
    | Annotated[EditBody, Tag("chat_edited")]
    | Annotated[DeleteBody, Tag("chat_deleted")]
    | Annotated[RedactBody, Tag("chat_redacted")],
    Discriminator(_chat_kind),
]
_ONE_CHAT: TypeAdapter[AnyChatBody] = TypeAdapter(TaggedChatBody)
_MANY_CHATS: TypeAdapter[list[AnyChatBody]] = TypeAdapter(Annotated[list[TaggedChatBody], Field(min_length=1)])
_EDIT: TypeAdapter[EditFields] = TypeAdapter(EditFields)
_MESSAGE_ID: TypeAdapter[str] = TypeAdapter(Annotated[Identifier, Field(pattern=r"^[^\ufffd]*$")])
_CALL_ID: TypeAdapter[str] = TypeAdapter(CallId)
_STREAM_START: TypeAdapter[StreamStart] = TypeAdapter(StreamStart)
_CALL_END: TypeAdapter[EndFields] = TypeAdapter(EndFields)


def parse_chats(body: bytes) -> AnyChatBody | list[AnyChatBody]:
    """One message or change, or a list of them. Raises InvalidRequest."""
    adapter: TypeAdapter[Any] = _MANY_CHATS if body.lstrip()[:1] == b"[" else _ONE_CHAT
    try:
        parsed: AnyChatBody | list[AnyChatBody] = adapter.validate_json(body)
    except ValidationError as error:
        raise invalid_chat(error) from None
    return parsed


def parse_chat(fields: Any) -> AnyChatBody:
    """One message or change from its fields. Raises ValidationError."""
    return _ONE_CHAT.validate_python(fields)


def invalid_chat(error: ValidationError) -> InvalidRequest:
    """Convert the error of a chat's body: its fields are those of its kind, whose name is no part of their location."""
    found = error.errors(include_input=False, include_url=False)
    details = []
    for detail in found:
        loc = tuple(part for part in detail["loc"] if part not in _CHAT_KINDS)
        details.append({**detail, "loc": (*loc, "kind") if detail["type"] == "union_tag_invalid" else loc})
    return invalid_request_from_details(details)


def parse_edit(body: bytes) -> EditFields:
    """The JSON body of an edit. Raises InvalidRequest."""
    try:
        return _EDIT.validate_json(body)
    except ValidationError as error:
        raise invalid_request(error) from None


def parse_message_id(message_id: str) -> str:
    """A message's id, from the path. Raises InvalidRequest."""
    try:
        return _MESSAGE_ID.validate_python(message_id)
    except ValidationError as error:
        raise invalid_request(error, default_field="event_id") from None


def parse_end(body: bytes) -> EndFields:
    """The JSON body of a call's end. Raises InvalidRequest."""
    try:
        return _CALL_END.validate_json(body)
    except ValidationError as error:
        raise invalid_request(error) from None


def parse_stream_start(message: str) -> StreamStart:
    """The first message of a stream. Raises InvalidRequest."""
    try:
        return _STREAM_START.validate_json(message)
    except ValidationError as error:
        raise invalid_request(error) from None


def parse_call_id(call_id: str) -> str:
    """A call's id, from the path. Raises InvalidRequest."""
    try:
        return _CALL_ID.validate_python(call_id)
    except ValidationError as error:
        raise invalid_request(error, default_field="call_id") from None
