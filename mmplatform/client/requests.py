"""What a source posts to the gateway, complete before it is sent: a repeat sends the very same request.

Every post names its event, by an id that is made here when none is given, so a repeat after a lost answer is no second
event.
"""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from mmplatform.events import utc_now
from mmplatform.ingest.schemas import ChatBody

Role = Literal["customer", "agent", "bot", "system"]
One = TypeVar("One")
Many = TypeVar("Many")


@dataclass(frozen=True, slots=True)
class Post:
    """One request. ``body`` is not shown: it holds what people said."""

    path: str
    body: bytes = field(repr=False)
    media_type: str
    params: Mapping[str, str] = field(default_factory=dict)


class Posts(ABC, Generic[One, Many]):
    """The gateway's calls over any way to send a post: plainly, or awaited.

    ``event_time`` defaults to now, ``event_id`` to a new one (for chunks and ends: the gateway's, made from the call).
    """

    @abstractmethod
    def post(self, post: Post) -> One:
        """Send a post that is answered with one acceptance."""

    @abstractmethod
    def post_many(self, post: Post) -> Many:
        """Send a post that is answered with a list of them."""

    def chat(
        self,
        *,
        conversation_id: str,
        subject_id: str,
        role: Role,
        text: str,
        event_id: str | None = None,
        event_time: datetime | None = None,
        source: str = "",
    ) -> One:
        """Post one chat message."""
        said = {
            "conversation_id": conversation_id,
            "subject_id": subject_id,
            "role": role,
            "text": text,
            "event_id": event_id or _new_id(),
            "event_time": event_time or utc_now(),
            "source": source,
        }
        return self.post(Post("/v1/events/chat", _json(_given(said)), "application/json"))

    def chats(self, messages: Sequence[ChatBody]) -> Many:
        """Post up to 500 chat messages, which are answered in the same order."""
        dumped = [{"event_id": _new_id()} | message.model_dump(mode="json", exclude_none=True) for message in messages]
        return self.post_many(Post("/v1/events/chat", _json(dumped), "application/json"))

    def screenshot(
        self,
        data: bytes,
        media_type: str,
        *,
        conversation_id: str,
        subject_id: str,
        event_id: str | None = None,
        event_time: datetime | None = None,
        source: str = "",
    ) -> One:
        """Post one image."""
        said = {
            "conversation_id": conversation_id,
            "subject_id": subject_id,
            "event_id": event_id or _new_id(),
            "event_time": event_time or utc_now(),
            "source": source,
        }
        return self.post(Post("/v1/events/screenshot", data, media_type, _given(said)))

    def chunk(
        self,
        call_id: str,
        data: bytes,
        media_type: str,
        *,
        index: int,
        start_s: float,
        subject_id: str,
        speakers: Sequence[str] = (),
        event_id: str | None = None,
        event_time: datetime | None = None,
        source: str = "",
    ) -> One:
        """Post a piece of a call; ``event_time`` is when its last sample was captured."""
        said = {
            "index": str(index),
            "start_s": repr(float(start_s)),
            "subject_id": subject_id,
            "speakers": ",".join(speakers),
            "event_id": event_id,
            "event_time": event_time or utc_now(),
            "source": source,
        }
        return self.post(Post(f"/v1/calls/{_segment(call_id)}/chunks", data, media_type, _given(said)))

    def end_call(
        self,
        call_id: str,
        *,
        subject_id: str,
        chunks: int | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        source: str = "",
    ) -> One:
        """Say that the call is over; ``chunks`` is how many were sent."""
        said = {
            "subject_id": subject_id,
            "chunks": chunks,
            "event_id": event_id,
            "event_time": event_time or utc_now(),
            "source": source,
        }
        return self.post(Post(f"/v1/calls/{_segment(call_id)}/end", _json(_given(said)), "application/json"))


def _new_id() -> str:
    return uuid.uuid4().hex


def _segment(call_id: str) -> str:
    return quote(call_id, safe="")


def _given(said: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, without what was not; times in ISO 8601."""
    present = {name: value for name, value in said.items() if value is not None and value != ""}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in present.items()}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
