"""Publishes an outcome to the log: artifacts, quarantine rows, dead letters. All are acknowledged on return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import structlog

from mmplatform.artifacts import Artifact, Quarantined
from mmplatform.errors import Misconfigured, TooLarge
from mmplatform.events import encode
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.topics import MAX_MESSAGE_BYTES, topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, DEAD_LETTERS_TOPIC, QUARANTINE_TOPIC
from mmplatform.pipeline.process import Outcome
from mmplatform.pipeline.record_size import encode_or_quarantine, quarantine_too_large
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record and its topic (without prefix)."""

    topic: str
    key: str
    value: bytes


def outgoing_records(outcome: Outcome) -> Iterator[OutgoingRecord]:
    """Records of an outcome, keyed by conversation, so that a passage and its retraction stay in order."""
    for record, value in map(encode_or_quarantine, outcome.artifacts):
        topic = QUARANTINE_TOPIC if isinstance(record, Quarantined) else ARTIFACTS_TOPIC
        yield OutgoingRecord(topic, record.conversation_id, value)
    for row in outcome.quarantined:
        yield OutgoingRecord(QUARANTINE_TOPIC, row.conversation_id, encode(row))
    for letter in outcome.dead_letters:
        position = letter.position
        yield OutgoingRecord(
            DEAD_LETTERS_TOPIC, f"{position.topic}/{position.topic_partition}/{position.offset}", encode(letter)
        )


def publish(outcome: Outcome, producer: LogProducer, settings: Settings) -> None:
    """Write the outcome and wait for all acknowledgements; a record too large for the broker is quarantined.

    Raises:
        Unavailable: the broker does not acknowledge.
        Misconfigured: a topic is missing, or refuses even a quarantine row.
    """

    def write(records: Iterable[OutgoingRecord]) -> None:
        producer.send_all(LogRecord(topic_name(settings, record.topic), record.key, record.value) for record in records)

    try:
        write(outgoing_records(outcome))
    except TooLarge:
        # Below our limit and above the broker's. Some may be on the log already; their ids make the repeat idempotent.
        for artifact in outcome.artifacts:
            _write_or_quarantine(artifact, write)
        _write_small(outgoing_records(Outcome((), outcome.quarantined, outcome.dead_letters)), write)


def _write_or_quarantine(artifact: Artifact, write: Callable[[Iterable[OutgoingRecord]], None]) -> None:
    try:
        write(outgoing_records(Outcome((artifact,))))
    except TooLarge:
        row = quarantine_too_large(
            artifact, len(encode(artifact)), "what the broker takes (max.message.bytes of its topic)"
        )
        _log.warning("larger than the broker takes: quarantined", kind=artifact.kind, event_id=row.event_id)
        _write_small(outgoing_records(Outcome(quarantined=(row,))), write)


def _write_small(records: Iterable[OutgoingRecord], write: Callable[[Iterable[OutgoingRecord]], None]) -> None:
    try:
        write(records)
    except TooLarge:
        raise Misconfigured(
            f"{QUARANTINE_TOPIC} or {DEAD_LETTERS_TOPIC} refuses records of a few kilobytes: raise its "
            f"max.message.bytes to {MAX_MESSAGE_BYTES}"
        ) from None
