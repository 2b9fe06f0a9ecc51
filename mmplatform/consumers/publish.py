"""An outcome onto the log: artifacts, quarantine, dead letters. All are acknowledged on return."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mmplatform.artifacts import Artifact, Quarantined, artifact_id
from mmplatform.events import encode, utc_now
from mmplatform.ingest.producer import LogProducer, LogRecord
from mmplatform.ingest.topics import topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, DEAD_LETTERS_TOPIC, QUARANTINE_TOPIC
from mmplatform.pipeline.process import Outcome
from mmplatform.settings import Settings

LARGEST: Final = 900_000
"""Bytes of one record: below Kafka's default ``max.message.bytes``, with room for key and headers."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record and the topic (without prefix) that it belongs on."""

    topic: str
    key: str
    value: bytes


def outgoing(outcome: Outcome) -> Iterator[Outgoing]:
    """Artifacts keep their conversation's key, so that a passage and its retraction stay in order."""
    for artifact in outcome.artifacts:
        value = encode(artifact)
        if len(value) <= LARGEST:
            yield Outgoing(ARTIFACTS_TOPIC, artifact.conversation_id, value)
        else:
            row = _too_large(artifact, len(value))
            yield Outgoing(QUARANTINE_TOPIC, row.conversation_id, encode(row))
    for row in outcome.quarantined:
        yield Outgoing(QUARANTINE_TOPIC, row.conversation_id, encode(row))
    for letter in outcome.dead_letters:
        place = letter.position
        yield Outgoing(DEAD_LETTERS_TOPIC, f"{place.topic}/{place.topic_partition}/{place.offset}", encode(letter))


def _too_large(artifact: Artifact, size: int) -> Quarantined:
    """A record that no broker takes would be tried for ever: it is set aside, and its neighbours go on."""
    event_id = artifact.provenance.event_ids[-1]
    return Quarantined(
        quarantine_id=artifact_id("quarantined", event_id, 1),
        modality=artifact.modality,
        event_id=event_id,
        conversation_id=artifact.conversation_id,
        subject_id=artifact.subject_id,
        event_time=artifact.stamps.event_time,
        quarantined_at=utc_now(),
        contract=artifact.kind,
        reasons=(f"the {artifact.kind} is {size} bytes, over the {LARGEST} that fit a record of the log",),
        position=artifact.provenance.position,
    )


def publish(outcome: Outcome, producer: LogProducer, settings: Settings) -> None:
    """Write the outcome and wait for every acknowledgement. Raises Unavailable, Misconfigured."""
    producer.send_all(LogRecord(topic_name(settings, out.topic), out.key, out.value) for out in outgoing(outcome))
