"""Rows of the table of bad inputs, and the two entry points of bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import NewTopic

from mmplatform.events import Position, encode, utc_now
from mmplatform.kafka.connection import admin_client, client_config
from mmplatform.settings import Settings
from tests import builders

CARD = "5500 0000 0000 0004"
ADDRESS = "dana.planted@example.org"
PLANTED = f"my card is {CARD}, write to {ADDRESS}"
"""Part of every malformed input; no reason and no log line may repeat it."""


@dataclass(frozen=True)
class Refused:
    """The gateway answers with a problem."""

    status: int
    kind: str


@dataclass(frozen=True)
class Quarantined:
    """A row of quarantine, with the stage that refused it and part of a reason."""

    contract: str
    reason: str


@dataclass(frozen=True)
class DeadLettered:
    """A dead letter for the record, with part of its reason."""

    reason: str


@dataclass(frozen=True)
class Found:
    """The input is valid, at least in part: a search for the person finds these words."""

    words: str = ""


@dataclass(frozen=True)
class Stored:
    """It is stored and has nothing to find: this many rows of a table, with a status where given."""

    table: str
    rows: int
    status: str = ""


@dataclass(frozen=True)
class Unread:
    """No consumer reads it."""


Ends = Refused | Quarantined | DeadLettered | Found | Stored | Unread


@dataclass(frozen=True)
class Row:
    """One bad input: what it is called, what sends it, and how it ends.

    ``send`` returns the gateway's answer, or the position on the log; ``who`` is its conversation, person and event.
    """

    name: str
    send: Callable[[Doors, str], Any]
    ends: Ends
    more: tuple[Ends, ...] = field(default=())

    @property
    def slug(self) -> str:
        return "".join(
            character if character.isascii() and character.isalnum() else "-" for character in self.name.lower()
        )


class Doors:
    """The gateway, and the log as a foreign client with rights on every topic sees it."""

    def __init__(self, url: str, settings: Settings, worker: Callable[[str], Any], forget: Callable[[str], None]):
        self.http = httpx.Client(base_url=url, timeout=60)
        self.paused, self.forget = worker, forget
        self._settings = settings
        self._foreign = Producer(client_config(settings) | {"partitioner": "murmur2_random", "linger.ms": 0})

    def post(self, path: str, data: bytes, media_type: str, **params: Any) -> httpx.Response:
        return self.http.post(path, content=data, params=params, headers={"Content-Type": media_type})

    def chat(self, who: str, **change: Any) -> httpx.Response:
        """A message; ``None`` leaves a field out."""
        defaults = {"event_id": who, "conversation_id": who, "subject_id": who, "role": "customer", "text": "hello"}
        body = {name: value for name, value in (defaults | change).items() if value is not None}
        return self.post("/v1/events/chat", json.dumps(body).encode(), "application/json")

    def image(self, who: str, data: bytes, media_type: str = "image/png") -> httpx.Response:
        return self.post("/v1/events/screenshot", data, media_type, event_id=who, conversation_id=who, subject_id=who)

    def chunk(self, who: str, data: bytes, index: int = 0, media_type: str = "audio/wav", start_s: float = 0.0) -> Any:
        return self.post(f"/v1/calls/{who}/chunks", data, media_type, subject_id=who, index=index, start_s=start_s)

    def end(self, who: str, **said: Any) -> httpx.Response:
        return self.http.post(f"/v1/calls/{who}/end", params={"subject_id": who, **said})

    def call(self, who: str, data: bytes) -> httpx.Response:
        """A call of one piece."""
        answer = self.chunk(who, data)
        self.end(who, chunks=1)
        return answer

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: str | None = None,
        *,
        millis: int | None = None,
        headers: Mapping[str, bytes] | None = None,
        number: int | None = None,
    ) -> Position:
        """Put a record onto the log; gives its place."""
        places: list[Any] = []
        more = {} if number is None else {"partition": number}
        self._foreign.produce(
            topic,
            value=value,
            key=key,
            headers=dict(headers or {}),
            timestamp=millis or 0,
            on_delivery=lambda error, message: places.append(error or message),
            **more,
        )
        self._foreign.flush(30)
        [placed] = places
        return Position(topic=placed.topic(), topic_partition=placed.partition(), offset=placed.offset())

    def make(self, topic: str) -> None:
        """A topic that this stack has no use for."""
        client = admin_client(self._settings)  # a future fails when its client is collected
        [made] = client.create_topics([NewTopic(topic, 1, 1)]).values()
        with suppress(KafkaException):  # there already
            made.result(10)

    def close(self) -> None:
        self.http.close()


def fresh(make: Callable[..., Any], who: str, **change: Any) -> bytes:
    """A record of this moment, as the gateway would write it."""
    now = utc_now()
    said = {"event_id": who, "conversation_id": who, "subject_id": who, "event_time": now, "ingested_at": now}
    return encode(make(**said | change))


def mangled(value: bytes, **change: Any) -> bytes:
    """The same record with fields that no sound client writes."""
    return json.dumps(json.loads(value) | change).encode()


def chat(who: str, **change: Any) -> bytes:
    return fresh(builders.chat, who, **change)
