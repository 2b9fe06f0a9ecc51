"""A worker of the next release, ``python -m tests.integration.next_release WORKER``, and what that release writes.

It has one more kind of event and another major version. The worker reads both by an upcaster, as a release does.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from mmplatform import events

REACTION = "chat_reaction"
MAJOR = events.SCHEMA_VERSION + 1


def with_more_fields(event: events.ChatMessage) -> bytes:
    """A later minor version: fields that today's release does not know."""
    more = {"mood": {"name": "calm", "score": 0.75}, "thread": ["a", "b"]}
    return json.dumps(_fields(event) | more).encode()


def as_new_kind(event: events.ChatMessage) -> bytes:
    """An event of a kind that today's release does not know."""
    fields = _fields(event)
    return json.dumps(fields | {"kind": REACTION, "emoji": fields.pop("text")}).encode()


def as_next_major(event: events.ChatMessage) -> bytes:
    """A major version in which the text has another name."""
    fields = _fields(event)
    return json.dumps(fields | {"schema_version": MAJOR, "body": fields.pop("text")}).encode()


def read_as_today(value: bytes | str | None) -> bytes | str | None:
    """The upcaster of the next release, the other way round: the platform's records stay those of today."""
    try:
        fields = json.loads(value or b"")
    except ValueError:
        return value
    if isinstance(fields, dict) and fields.get("kind") == REACTION:
        return json.dumps(fields | {"kind": "chat_message", "text": fields.pop("emoji")})
    if isinstance(fields, dict) and fields.get("schema_version") == MAJOR:
        return json.dumps(fields | {"schema_version": events.SCHEMA_VERSION, "text": fields.pop("body")})
    return value


def _fields(event: events.ChatMessage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(events.encode(event))
    return found


def main() -> int:
    """Before the other modules are imported: they keep the function that they imported."""
    today = events.decode_event
    events.decode_event = lambda value: today(read_as_today(value))
    from mmplatform import worker

    return worker.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
