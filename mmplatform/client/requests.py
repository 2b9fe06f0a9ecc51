"""Requests to the gateway, complete before they are sent: a retry sends the identical request.

Every request names its event, by an id that is generated here when none is given, so a retry after a lost response
creates no second event.
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
from mmplatform.ingest.schemas import AnyChatBody

Role = Literal["customer", "agent", "bot", "system"]
OneT = TypeVar("OneT")
ManyT = TypeVar("ManyT")


@dataclass(frozen=True, slots=True)
class GatewayRequest:
    """One request. ``body`` is left out of the repr: it contains customer text."""

    path: str
    body: bytes = field(repr=False)
    media_type: str
    params: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


class GatewayApi(ABC, Generic[OneT, ManyT]):
    """The gateway's API over any transport, synchronous or awaited.

    ``event_time`` defaults to now, ``event_id`` to a new one (for chunks and ends: the gateway's, from the call's id).
    """

    @abstractmethod
    def send(self, request: GatewayRequest) -> OneT:
        """Send a request that returns one acceptance."""

    @abstractmethod
    def send_batch(self, request: GatewayRequest) -> ManyT:
        """Send a request that returns a list of acceptances."""

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
    ) -> OneT:
        """Send one chat message."""
        fields = {
            "conversation_id": conversation_id,
            "subject_id": subject_id,
            "role": role,
            "text": text,
            "event_id": event_id or _new_id(),
            "event_time": event_time or utc_now(),
            "source": source,
        }
        return self.send(GatewayRequest("/v1/events/chat", _json(_drop_empty(fields)), "application/json"))

    def edit_chat(
        self,
        message_id: str,
        *,
        conversation_id: str,
        subject_id: str,
        text: str,
        revision: int | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        source: str = "",
    ) -> OneT:
        """Send the new text of a message, as a whole. ``revision`` grows with each change; without it the last counts.

        ``event_id`` is the id of the edit; by default it follows from the revision, or is a new one.
        """
        fields = {
            "conversation_id": conversation_id,
            "subject_id": subject_id,
            "text": text,
            "revision": revision,
            "event_id": event_id or (_new_id() if revision is None else None),
            "event_time": event_time or utc_now(),
            "source": source,
        }
        path = f"/v1/events/chat/{_path_segment(message_id)}"
        return self.send(GatewayRequest(path, _json(_drop_empty(fields)), "application/json", method="PUT"))

    def delete_chat(
        self,
        message_id: str,
        *,
        conversation_id: str,
        subject_id: str,
        redact: bool = False,
        revision: int | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        source: str = "",
    ) -> OneT:
        """Delete a message: it is no longer found. With ``redact`` its raw text is to be destroyed too."""
        fields = {
            "conversation_id": conversation_id,
            "subject_id": subject_id,
            "redact": "true" if redact else None,
            "revision": None if revision is None else str(revision),
            "event_id": event_id,
            "event_time": event_time or utc_now(),
            "source": source,
        }
        path = f"/v1/events/chat/{_path_segment(message_id)}"
        return self.send(GatewayRequest(path, b"", "application/json", _drop_empty(fields), method="DELETE"))

    def chats(self, messages: Sequence[AnyChatBody]) -> ManyT:
        """Send up to 500 chat messages and changes; the acceptances have the same order."""
        dumped = [_with_id(message.model_dump(mode="json", exclude_none=True)) for message in messages]
        return self.send_batch(GatewayRequest("/v1/events/chat", _json(dumped), "application/json"))

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
    ) -> OneT:
        """Send one image."""
        fields = {
            "conversation_id": conversation_id,
            "subject_id": subject_id,
            "event_id": event_id or _new_id(),
            "event_time": event_time or utc_now(),
            "source": source,
        }
        return self.send(GatewayRequest("/v1/events/screenshot", data, media_type, _drop_empty(fields)))

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
    ) -> OneT:
        """Send a chunk of a call; ``event_time`` is when its last sample was captured."""
        fields = {
            "index": str(index),
            "start_s": repr(float(start_s)),
            "subject_id": subject_id,
            "speakers": ",".join(speakers),
            "event_id": event_id,
            "event_time": event_time or utc_now(),
            "source": source,
        }
        return self.send(
            GatewayRequest(f"/v1/calls/{_path_segment(call_id)}/chunks", data, media_type, _drop_empty(fields))
        )

    def end_call(
        self,
        call_id: str,
        *,
        subject_id: str,
        chunks: int | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        source: str = "",
    ) -> OneT:
        """End a call; ``chunks`` is the number of chunks sent."""
        fields = {
            "subject_id": subject_id,
            "chunks": chunks,
            "event_id": event_id,
            "event_time": event_time or utc_now(),
            "source": source,
        }
        return self.send(
            GatewayRequest(f"/v1/calls/{_path_segment(call_id)}/end", _json(_drop_empty(fields)), "application/json")
        )


def _with_id(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with an event id, but where the gateway's own follows from the change."""
    follows = fields.get("kind") in {"chat_deleted", "chat_redacted"} or "revision" in fields
    return fields if follows else {"event_id": _new_id()} | fields


def _new_id() -> str:
    return uuid.uuid4().hex


def _path_segment(call_id: str) -> str:
    return quote(call_id, safe="")


def _drop_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields without the empty ones; times in ISO 8601."""
    present = {name: value for name, value in fields.items() if value is not None and value != ""}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in present.items()}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
