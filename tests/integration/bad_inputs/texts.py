"""Bad chats: what the gateway refuses, and the same written past it by a foreign client."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from mmplatform.events import utc_now
from mmplatform.modalities import CHAT
from tests.integration.bad_inputs.rows import (
    PLANTED,
    DeadLettered,
    Doors,
    Found,
    Quarantined,
    Refused,
    Row,
    Stored,
    chat,
)
from tests.integration.bad_inputs.rows import mangled as changed

EPOCH = "1970-01-01T00:00:00Z"
INVALID = Refused(422, "invalid")


def raw(data: bytes):
    return lambda doors, _: doors.post("/v1/events/chat", data, "application/json")


def said(**change):
    return lambda doors, who: doors.chat(who, **{"text": PLANTED, **change})


def on_log(**change):
    """Past the gateway: fields as JSON has them, on the topic partition of its conversation."""
    return lambda doors, who: doors.write(CHAT.topic, changed(chat(who, text=PLANTED), **change), who)


def far(days: float) -> str:
    return (utc_now() + timedelta(days=days)).isoformat()


def surrogate(doors: Doors, who: str):
    body = {"event_id": who, "conversation_id": who, "subject_id": who, "role": "bot", "text": PLANTED + "\ud83d"}
    return doors.post("/v1/events/chat", json.dumps(body).encode(), "application/json")


def at_millis(millis: int):
    return lambda doors, who: doors.write(CHAT.topic, chat(who, text="the order is late"), who, millis=millis)


GATEWAY = (
    Row("not JSON", raw(b'{"text": "' + PLANTED.encode()), INVALID),
    Row("wrong types", said(role=7, text={"card": PLANTED}), INVALID),
    Row("missing ids", said(conversation_id=None, subject_id=None), INVALID),
    Row("a text of 10 MB", said(text="x" * 10_000_000), Refused(413, "too-large")),
    Row("a lone surrogate", surrogate, INVALID),
    Row("a NUL", said(text=f"{PLANTED}\x00"), INVALID),
    Row(
        "a text of invisible characters",
        said(text="\u200b\ufeff\u2800\u3164\u00ad"),
        Stored("messages", 1),
        (Stored("passages", 0),),
    ),
    Row("a text of one emoji", said(text="\U0001f621"), Found("\U0001f621")),
    Row("terminal escapes", said(text="\x1b]0;title\x07 my order is late"), Found("my order is late")),
    Row("a future timestamp", said(event_time=far(1)), Refused(422, "rejected")),
    Row("a timestamp of 1970", said(event_time=EPOCH), INVALID),
)
LOG = (
    Row(
        "not JSON, on the log", lambda d, who: d.write(CHAT.topic, PLANTED.encode(), who), DeadLettered("not an event")
    ),
    Row("wrong types, on the log", on_log(text={"card": PLANTED}), DeadLettered("string_type")),
    Row("missing ids, on the log", on_log(conversation_id=None), DeadLettered("conversation_id")),
    Row("a text of 0.9 MB, on the log", on_log(text="x" * 900_000), Quarantined("raw_chats", "characters")),
    Row("a lone surrogate, on the log", on_log(text=PLANTED + "\ud83d"), DeadLettered("json")),
    Row("a NUL, on the log", on_log(text=f"{PLANTED}\x00"), Quarantined("raw_chats", "text without NUL")),
    Row("a future timestamp, on the log", on_log(event_time=far(9)), Quarantined("raw_chats", "not in the future")),
    Row("a timestamp of 1970, on the log", on_log(event_time=EPOCH), Quarantined("raw_chats", "after 2000-01-01")),
    Row("a time before the calendar", on_log(event_time="0001-01-01T00:00:00+14:00"), DeadLettered("event_time")),
    Row("a Kafka timestamp of 1969", at_millis(-86_400_000), Found("order")),
    Row("a Kafka timestamp beyond the calendar", at_millis(2**62), Found("order")),
    Row(
        "a Kafka timestamp of 1971",
        at_millis(round(datetime(1971, 1, 1, tzinfo=UTC).timestamp()) * 1000),
        Found("order"),
    ),
)
