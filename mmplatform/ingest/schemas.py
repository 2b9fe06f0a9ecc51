"""What sources send and what they are answered: one closed record for each endpoint, shared with the client.

Texts and ids are refused when they hold NUL or half a surrogate pair: neither survives every store behind us. So is
what the contract of its table would set aside (:mod:`quality.contracts`): the source is still there to mend it.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, TypeAdapter, ValidationError

from mmplatform.events import MOST_SPEAKERS, Identifier, Position, Record, SpeakerName
from mmplatform.web.validation import invalid
from quality.contracts import EARLIEST, MOST_CALL_S, VISIBLE, Limits

MAX_BATCH: Final = 500
MAX_CHUNK_S: Final = Limits().max_chunk_s
_SEEN: Final = re.compile(VISIBLE)

AUDIO_TYPES: Final[dict[str, str]] = {
    "audio/wav": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mpeg": "audio/mpeg",
    "audio/mp3": "audio/mpeg",
    "audio/flac": "audio/flac",
    "audio/x-flac": "audio/flac",
    "audio/ogg": "audio/ogg",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/mp4": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
}
IMAGE_TYPES: Final[dict[str, str]] = {
    "image/png": "image/png",
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/webp": "image/webp",
}
"""Media types that are taken, and the one name that each goes by from here on."""


def _to_utc(moment: datetime) -> datetime:
    # Compared before it is converted: the conversion of the first and last days of the calendar overflows.
    if moment < EARLIEST:
        raise ValueError(f"lies before {EARLIEST:%Y-%m-%d}: a wrong clock")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies beyond the calendar") from None


def _not_blank(text: str) -> str:
    if _SEEN.search(text) is None:
        raise ValueError("is blank")
    return text


def _split_names(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",")) if value else ()
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_to_utc)]
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$"), AfterValidator(_not_blank)]
Speaker = Annotated[SpeakerName, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
CallId = Annotated[str, Field(min_length=1, max_length=180, pattern=r"^[^\x00-\x1f\x7f\ufffd]+$")]
"""A call's id: shorter than an identifier, since chunks' ids are made from it. U+FFFD is what a broken one becomes."""


class _FromSource(Record):
    """Fields that every source may send. ``event_time`` defaults to now, at the gateway."""

    subject_id: Identifier
    event_time: Moment | None = None
    source: str = Field(default="", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")

    def content_digest(self, kind: str, data: bytes = b"") -> bytes:
        """What is compared when an event id comes again.

        All that the source says and the bytes, without ``event_time``: a source that stamps when it sends repeats
        itself with another one, and the first stamp stands.
        """
        said = self.model_dump(mode="json", exclude={"event_time"})
        digest = hashlib.sha256(json.dumps([kind, said], sort_keys=True).encode())
        digest.update(hashlib.sha256(data).digest())
        return digest.digest()


class ChatBody(_FromSource):
    """One chat message. Without ``event_id`` a repeated post is a second message."""

    event_id: Identifier | None = None
    conversation_id: Identifier
    role: Literal["customer", "agent", "bot", "system"]
    text: Text


class ScreenshotFields(_FromSource):
    """What is said about one image: form fields, query parameters or ``X-`` headers."""

    event_id: Identifier | None = None
    conversation_id: Identifier


class ChunkFields(_FromSource):
    """What is said about one audio chunk. ``event_id`` defaults to ``call_id:index``."""

    event_id: Identifier | None = None
    index: int = Field(ge=0, le=10_000_000)
    start_s: float = Field(ge=0, le=MOST_CALL_S, allow_inf_nan=False)
    speakers: Annotated[tuple[Speaker, ...], BeforeValidator(_split_names), Field(max_length=MOST_SPEAKERS)] = ()


class EndFields(_FromSource):
    """A call ended. ``event_id`` defaults to ``call_id:end``."""

    event_id: Identifier | None = None
    chunks: int | None = Field(default=None, ge=0, le=10_000_001)


class Accepted(Record):
    """The answer 202: where the event lies on the log. ``duplicate``: it was there already, at this position.

    ``shed``: it is kept, and nothing is derived from it until its hour is reprocessed. A duplicate does not say.
    """

    event_id: str
    position: Position
    duplicate: bool
    shed: bool = False


_ONE_CHAT: TypeAdapter[ChatBody] = TypeAdapter(ChatBody)
_MANY_CHATS: TypeAdapter[list[ChatBody]] = TypeAdapter(Annotated[list[ChatBody], Field(min_length=1)])
_CALL_ID: TypeAdapter[str] = TypeAdapter(CallId)
_ENDS: TypeAdapter[EndFields] = TypeAdapter(EndFields)


def parse_chats(body: bytes) -> ChatBody | list[ChatBody]:
    """One message, or a list of them. Raises Invalid."""
    adapter: TypeAdapter[Any] = _MANY_CHATS if body.lstrip()[:1] == b"[" else _ONE_CHAT
    try:
        parsed: ChatBody | list[ChatBody] = adapter.validate_json(body)
    except ValidationError as error:
        raise invalid(error) from None
    return parsed


def parse_end(body: bytes) -> EndFields:
    """The JSON body of a call's end. Raises Invalid."""
    try:
        return _ENDS.validate_json(body)
    except ValidationError as error:
        raise invalid(error) from None


def parse_call_id(call_id: str) -> str:
    """A call's id, from the path. Raises Invalid."""
    try:
        return _CALL_ID.validate_python(call_id)
    except ValidationError as error:
        raise invalid(error, at="call_id") from None
