"""The inputs: from one seed the same inputs, each with its route, sound or damaged."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from benchmarks.fuzz import media
from benchmarks.fuzz.damage import Damage
from mmplatform.artifacts import VECTOR_HEADER, artifact_id, pack_vector
from mmplatform.identity import DEFAULT_TENANT, conversation_key, event_uid
from mmplatform.modalities import ARTIFACTS_TOPIC, CALL, CHAT, QUARANTINE_TOPIC, SCREENSHOT

SOUND: Final = 0.2
"""Share of inputs that are not damaged: what lies behind bad input must still come through."""

COLLIDING: Final = 0.4
"""Share of events whose ids another event may have: of another source, conversation or tenant, or none of these."""

_EVENT_IDS, _CONTENTS, _SOURCES, _TENANTS = 20, 2, ("", "desk-a", "desk-b"), (DEFAULT_TENANT, "acme")
_KAFKA_TIMES: Final = (None, None, None, None, -1, -86_400_000, 2**62, 31_536_000_000)
_CONVERSATIONS: Final = 40
_SHARED_CONVERSATIONS: Final = 10
_NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""Fixed, so that a seed names every byte."""


@dataclass(frozen=True, slots=True)
class Input:
    """One request or one record.

    Attributes:
        route: the door: a path of the gateway, or ``log:`` and a topic.
        body: the bytes.
        media_type: of a request.
        params: of a request.
        key: of a record.
        headers: of a record.
        millis: the Kafka timestamp of a record; None is the present.
    """

    route: str
    body: bytes
    media_type: str = ""
    params: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    millis: int | None = None
    headers: dict[str, bytes] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """Topic of a record; empty for a request."""
        return self.route.removeprefix("log:") if self.route.startswith("log:") else ""


class Inputs:
    """Draws inputs; ``embedder`` and ``dimensions`` name the space of the passages that it forges."""

    def __init__(
        self, seed: int, embedder: str, dimensions: int, *, sound: float = SOUND, colliding: float = COLLIDING
    ) -> None:
        self._sound_share, self._colliding_share = sound, colliding
        self._chance = random.Random(seed)
        self._damage = Damage(self._chance)
        self._seed, self._number = seed, 0
        self._embedder, self._dimensions = embedder, dimensions
        self._images, self._sounds = media.images(), media.sounds()
        self._routes: tuple[tuple[int, Callable[[], Input]], ...] = (
            (8, self._post_chat), (2, self._post_image), (2, self._post_chunk), (1, self._post_end),
            (6, lambda: self._record(CHAT.topic, self._chat())),
            (3, lambda: self._record(CALL.topic, self._call())),
            (3, lambda: self._record(SCREENSHOT.topic, self._screenshot())),
            (5, lambda: self._record(ARTIFACTS_TOPIC, self._passage(), self._vector())),
            (2, lambda: self._record(QUARANTINE_TOPIC, self._quarantined())),
        )  # fmt: skip

    def draw(self, count: int) -> Iterator[Input]:
        """So many, in the order in which they are to be sent."""
        weights = [weight for weight, _ in self._routes]
        for _ in range(count):
            self._number += 1
            [(_, make)] = self._chance.choices(self._routes, weights)
            yield make()

    def _sound(self) -> bool:
        return self._chance.random() < self._sound_share

    @property
    def _id(self) -> str:
        return f"fuzz-{self._seed}-{self._number}"

    @property
    def _conversation(self) -> str:
        return f"fuzz-{self._seed}-talk-{self._chance.randrange(_CONVERSATIONS)}"

    def _ids(self) -> dict[str, Any]:
        return {"event_id": self._id, "conversation_id": self._conversation, "subject_id": f"fuzz-{self._seed}"}

    def _any_ids(self) -> dict[str, Any]:
        """Ids of an event: its own, or as of a source that numbers its events from 1 in each conversation."""
        if self._chance.random() >= self._colliding_share:
            return self._ids()
        numbers = {"event_id": str(self._chance.randrange(_EVENT_IDS)), "source": self._chance.choice(_SOURCES)}
        return {**self._ids(), **numbers, "conversation_id": str(self._chance.randrange(_SHARED_CONVERSATIONS))}

    def _content(self, ids: dict[str, Any]) -> int:
        """A number that tells contents apart: few, so that an identity comes again with the same one, too."""
        return self._number if ids["event_id"] == self._id else self._chance.randrange(_CONTENTS)

    def _chat_content(self) -> dict[str, Any]:
        ids = self._any_ids()
        return {**ids, "role": "customer", "text": f"parcel {self._content(ids)} is late"}

    def _post_chat(self) -> Input:
        fields = self._chat_content()
        body = _encoded(fields) if self._sound() else self._damage.record(fields)
        return Input("/v1/events/chat", body, "application/json")

    def _post_image(self) -> Input:
        media_type, data = self._chance.choice(self._images)
        if self._sound():
            return Input("/v1/events/screenshot", data, media_type, self._any_ids())
        fields = self._some(self._any_ids())
        return Input("/v1/events/screenshot", self._damage.file(data), self._odd(media_type), fields)

    def _post_chunk(self) -> Input:
        media_type, data = self._chance.choice(self._sounds)
        ids = self._any_ids()
        fields = {"subject_id": ids["subject_id"], "source": ids.get("source", ""), "index": "0", "start_s": "0"}
        route = f"/v1/calls/{ids['event_id']}/chunks"
        if self._sound():
            return Input(route, data, media_type, fields)
        return Input(route, self._damage.file(data), self._odd(media_type), self._some(fields))

    def _post_end(self) -> Input:
        fields = {"subject_id": f"fuzz-{self._seed}", "chunks": 1}
        body = _encoded(fields) if self._sound() else self._damage.record(fields)
        return Input(f"/v1/calls/{self._id}/end", body, "application/json")

    def _odd(self, media_type: str) -> str:
        return self._chance.choice((media_type, media_type, media_type, "image/gif", "text/html", "audio/midi", "x"))

    def _some(self, fields: dict[str, Any]) -> dict[str, str]:
        chosen = {name: str(value) for name, value in fields.items() if self._chance.random() < 0.95}
        if self._chance.random() < 0.2:
            chosen[self._chance.choice(("event_time", "source", "surprise"))] = self._chance.choice(
                ("", "1970", "\x00")
            )
        return chosen

    def _record(self, topic: str, fields: dict[str, Any], headers: dict[str, bytes] | None = None) -> Input:
        body = _encoded(fields) if self._sound() else self._damage.record(fields)
        if self._chance.random() < 0.05:
            body = self._damage.noise()
        key = None
        if self._chance.random() >= 0.05:
            tenant, source = fields.get("tenant", DEFAULT_TENANT), fields.get("source", "")
            key = conversation_key(tenant, source, fields["conversation_id"])
        millis = self._chance.choice(_KAFKA_TIMES)
        return Input(f"log:{topic}", body, key=key, millis=millis, headers=headers or {})

    def _event(self, kind: str) -> dict[str, Any]:
        now = _NOW + timedelta(milliseconds=self._number)
        ids = self._any_ids()
        if ids["event_id"] != self._id:
            ids["tenant"] = self._chance.choice(_TENANTS)
        return {**ids, "kind": kind, "event_time": now.isoformat(), "ingested_at": now.isoformat()}

    def _chat(self) -> dict[str, Any]:
        event = self._event("chat_message")
        return {**event, "role": "customer", "text": f"parcel {self._content(event)} is late"}

    def _blob(self, content: int) -> dict[str, Any]:
        digest = hashlib.sha256(f"fuzz-{self._seed}-{content}".encode()).hexdigest()
        return {"key": f"{digest[:2]}/{digest}", "sha256": digest, "size": 7, "media_type": "image/png"}

    def _call(self) -> dict[str, Any]:
        if self._chance.random() < 0.3:
            return {**self._event("call_end"), "reason": "ended", "chunks": self._chance.choice((None, 0, 1, 7))}
        event = self._event("call_chunk")
        index = self._chance.randrange(5)
        chunk = {"chunk_index": index, "start_s": index * 2.0, "duration_s": 2.0, "sample_rate": 8000, "channels": 1}
        return {**event, **chunk, "speakers": [], "blob": self._blob(self._content(event))}

    def _screenshot(self) -> dict[str, Any]:
        event = self._event("screenshot")
        return {**event, "width": 64, "height": 48, "blob": self._blob(self._content(event))}

    def _position(self) -> dict[str, Any]:
        # Of no topic: else a forged row would speak of a record of another run.
        return {"topic": "forged", "topic_partition": 0, "offset": self._number}

    def _passage(self) -> dict[str, Any]:
        ids, now = self._ids(), _NOW.isoformat()
        uid = event_uid(DEFAULT_TENANT, "", ids["conversation_id"], ids["event_id"])
        passage_id = artifact_id("passage", uid, 0)
        return {
            "kind": "passage", "artifact_id": passage_id, "modality": "chat", "source_artifact_id": passage_id,
            "source_kind": "message",
            "conversation_id": ids["conversation_id"], "subject_id": ids["subject_id"], "ordinal": 0,
            "stamps": {"event_time": now, "ingested_at": now, "derived_at": now},
            "provenance": {"event_ids": [ids["event_id"]], "position": self._position(), "deriver": "chat",
                           "deriver_version": "1", "seconds": 0},
            "text": f"forged {self._number}", "embedder": self._embedder,
            "locator": {"at": "chat", "event_id": ids["event_id"], "role": "customer", "start": 0, "end": 6},
        }  # fmt: skip

    def _vector(self) -> dict[str, bytes]:
        """The header of a passage: of the space, of another number of parts, not finite, damaged, or missing."""
        parts = self._dimensions if self._chance.random() < 0.8 else self._chance.choice((1, 3, self._dimensions + 1))
        vector = np.zeros(parts, dtype=np.float32)
        vector[self._chance.randrange(parts)] = self._chance.choice((1.0, 1.0, 1.0, 0.0, np.nan))
        packed = pack_vector(vector)
        way = self._chance.random()
        if way < 0.05:
            return {}
        return {VECTOR_HEADER: self._damage.file(packed) if way < 0.1 else packed}

    def _quarantined(self) -> dict[str, Any]:
        now = _NOW.isoformat()
        return {
            **self._ids(), "kind": "quarantined", "quarantine_id": artifact_id("quarantined", self._id, 0),
            "modality": "chat",
            "event_time": now, "quarantined_at": now, "contract": "fuzz", "reasons": ["forged"],
            "position": self._position(),
        }  # fmt: skip


def _encoded(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()
