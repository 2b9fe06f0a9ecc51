"""Poison on every topic, written by a foreign client with rights on all of them."""

from __future__ import annotations

import numpy as np

from mmplatform.artifacts import VECTOR_HEADER, Retraction, pack_vector
from mmplatform.events import Position, encode, utc_now
from mmplatform.identity import DEFAULT_TENANT, conversation_key
from mmplatform.lineage.names import LINEAGE_TOPIC
from mmplatform.modalities import (
    ARTIFACTS_TOPIC,
    CALL,
    CHAT,
    DEAD_LETTERS_TOPIC,
    MODALITIES,
    QUARANTINE_TOPIC,
    SCREENSHOT,
)
from mmplatform.pipeline.factories import resolve_space
from mmplatform.settings import load
from tests import builders
from tests.integration.bad_inputs.rows import (
    PLANTED,
    DeadLettered,
    Doors,
    Found,
    Quarantined,
    Row,
    Stored,
    Unread,
    chat,
    fresh,
    mangled,
)

CHANGELOG = f"changelog__{CALL.group}--{CALL.topic}--default"
GARBAGE = b"\xff\xfe" + PLANTED.encode()


def written(topic: str, value: bytes | None):
    return lambda doors, who: doors.write(topic, value, who)


def on_lineage(doors: Doors, who: str):
    """The topic is there only where lineage goes to Kafka."""
    doors.make(LINEAGE_TOPIC)
    return doors.write(LINEAGE_TOPIC, GARBAGE, who)


def passage(who: str, *, embedder: str = "", parts: int = 384, fill: float | None = None):
    """One as the chat deriver makes them, with a vector of a foreign client's."""
    now = utc_now()
    event = builders.chat(
        subject_id=who, conversation_id=who, event_id=who, text="a parcel went astray", event_time=now, ingested_at=now
    )
    made = builders.passage(builders.message(event, Position(topic=CHAT.topic, topic_partition=0, offset=0)))
    vector = np.zeros(parts, dtype=np.float32) if fill is None else np.full(parts, fill, dtype=np.float32)
    if fill is None:
        vector[0] = 1.0
    change = {"embedder": embedder or resolve_space(load()).name, "vector_f32": pack_vector(vector)}
    return made.model_copy(update=change)


def conversation(who: str) -> str:
    """The key of its records."""
    return conversation_key(DEFAULT_TENANT, "", who)


def artifact(**change):
    def write(doors: Doors, who: str):
        made = passage(who, **change)
        return doors.write(ARTIFACTS_TOPIC, encode(made), conversation(who), headers={VECTOR_HEADER: made.vector_f32})

    return write


def retraction(doors: Doors, who: str):
    of = passage(who)
    fields = {
        name: getattr(of, name)
        for name in ("artifact_id", "modality", "conversation_id", "subject_id", "stamps", "provenance")
    }
    return doors.write(ARTIFACTS_TOPIC, encode(Retraction(**fields, reason="there is none")), who)


def two_contents(doors: Doors, who: str):
    doors.write(CHAT.topic, chat(who), conversation(who))
    return doors.write(CHAT.topic, chat(who, text=f"other words: {PLANTED}"), conversation(who))


def keyless(doors: Doors, who: str):
    return doors.write(CALL.topic, fresh(builders.call_end, who), None)


def under_another_key(doors: Doors, who: str):
    return doors.write(CALL.topic, fresh(builders.call_end, who), f"{who}-another")


GARBAGE_ROWS = tuple(
    row
    for topic in (*(spec.topic for spec in MODALITIES.values()), ARTIFACTS_TOPIC, QUARANTINE_TOPIC)
    for row in (
        Row(f"garbage on {topic}", written(topic, GARBAGE), DeadLettered("not a")),
        Row(f"a record without a value on {topic}", written(topic, None), DeadLettered("not a")),
    )
)
LOG = (
    *GARBAGE_ROWS,
    Row(f"garbage on {DEAD_LETTERS_TOPIC}", written(DEAD_LETTERS_TOPIC, GARBAGE), Unread()),
    Row(f"garbage on {LINEAGE_TOPIC}", on_lineage, Unread()),
    Row("garbage on the changelog of the calls' state", written(CHANGELOG, GARBAGE), Unread()),
    Row(
        f"a chat on {CALL.topic}",
        lambda d, who: d.write(CALL.topic, chat(who), conversation(who)),
        DeadLettered("does not belong"),
    ),
    Row(
        f"a chat on {SCREENSHOT.topic}",
        lambda d, who: d.write(SCREENSHOT.topic, chat(who), who),
        DeadLettered("does not belong"),
    ),
    Row(
        f"an event on {ARTIFACTS_TOPIC}",
        lambda d, who: d.write(ARTIFACTS_TOPIC, chat(who), who),
        DeadLettered("an artifact of an unknown kind or version"),
    ),
    Row("a call's record without a key", keyless, DeadLettered("key")),
    Row("a call's record under another's key", under_another_key, DeadLettered("key")),
    Row(
        "a call of 99 channels, on the log",
        lambda d, who: d.write(CALL.topic, fresh(builders.chunk, who, channels=99), conversation(who)),
        Quarantined("raw_calls", "1 to 8 channels"),
    ),
    Row(
        "a screenshot of too many pixels, on the log",
        lambda d, who: d.write(SCREENSHOT.topic, fresh(builders.screenshot, who, width=90_000, height=90_000), who),
        Quarantined("raw_screenshots", "pixels"),
    ),
    Row(
        "an image that no store has",
        lambda d, who: d.write(SCREENSHOT.topic, fresh(builders.screenshot, who), who),
        Quarantined("blob", "never put"),
    ),
    Row(
        "a field that this release does not know, on the log",
        lambda d, who: d.write(CHAT.topic, mangled(chat(who), **{PLANTED: 1}), who),
        Found("message number"),
    ),
    Row(
        "a kind or a major version that this release does not know",
        lambda d, who: d.write(CHAT.topic, mangled(chat(who), schema_version=99), conversation(who)),
        DeadLettered("unknown kind or version"),
    ),
    Row("another content under the identity of an earlier event", two_contents, Quarantined("identity", "came before")),
    Row("a vector of another length", artifact(parts=3), DeadLettered("a vector of 3 parts")),
    Row("a vector of NaN", artifact(fill=float("nan")), DeadLettered("vector: has NaN or infinite parts")),
    Row("a vector of zeros", artifact(fill=0.0), DeadLettered("a vector of zeros")),
    Row("a passage of an unknown embedder", artifact(embedder="unheard@1", parts=5), Found("parcel")),
    Row("a retraction of nothing", retraction, Stored("passages", 0)),
)
