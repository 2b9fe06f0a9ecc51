"""Publishes an outcome to the log: artifacts, quarantine rows, dead letters. All are acknowledged on return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from mmplatform.artifacts import Artifact
from mmplatform.errors import Misconfigured, TooLarge
from mmplatform.events import Position, encode
from mmplatform.kafka.headers import Pseudonyms, open_pseudonyms, output_headers
from mmplatform.kafka.producer import LogProducer, LogRecord
from mmplatform.kafka.topics import MAX_MESSAGE_BYTES, topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, DEAD_LETTERS_TOPIC, QUARANTINE_TOPIC
from mmplatform.pipeline.process import Outcome
from mmplatform.pipeline.record_size import encode_or_quarantine, quarantine_too_large
from mmplatform.pipeline.withdrawal import is_changed_chat, withdraw
from mmplatform.refusals import Quarantined
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)

_TOO_LARGE: Final = "the new text of its message is too large for a record of the log"


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record and its topic (without prefix)."""

    topic: str
    key: str
    value: bytes
    headers: Mapping[str, bytes] = field(default_factory=dict)


Write = Callable[[Iterable[OutgoingRecord]], None]
EncodeOutcome = Callable[[Outcome], Iterator[OutgoingRecord]]


def outgoing_records(outcome: Outcome, pseudonyms: Pseudonyms, *, awaited: bool = False) -> Iterator[OutgoingRecord]:
    """Records of an outcome, keyed by conversation, so that a passage and its retraction stay in order."""

    def output(topic: str, record: Artifact | Quarantined, value: bytes, position: Position) -> OutgoingRecord:
        headers = output_headers(record, pseudonyms, outcome.traces.get(position, b""), awaited=awaited)
        return OutgoingRecord(topic, record.conversation_key, value, headers)

    for artifact in outcome.artifacts:
        record, value = encode_or_quarantine(artifact)
        position = artifact.provenance.position
        if not isinstance(record, Quarantined):
            yield output(ARTIFACTS_TOPIC, record, value, position)
            continue
        yield output(QUARANTINE_TOPIC, record, value, position)
        if is_changed_chat(artifact):
            withdrawn = withdraw(artifact, _TOO_LARGE)
            yield output(ARTIFACTS_TOPIC, withdrawn, encode(withdrawn), position)
    for row in outcome.quarantined:
        headers = output_headers(row, pseudonyms, outcome.traces.get(row.position, b""))
        yield OutgoingRecord(QUARANTINE_TOPIC, row.conversation_key, encode(row), headers)
    for letter in outcome.dead_letters:
        position = letter.position
        yield OutgoingRecord(
            DEAD_LETTERS_TOPIC, f"{position.topic}/{position.topic_partition}/{position.offset}", encode(letter)
        )


def publish(outcome: Outcome, producer: LogProducer, settings: Settings, *, awaited: bool = False) -> None:
    """Write the outcome and wait for all acknowledgements; a record too large for the broker is quarantined.

    ``awaited`` tells the indexer that the caller waits for it: it writes the artifacts without waiting for more.

    Raises:
        Unavailable: the broker does not acknowledge.
        Misconfigured: a topic is missing, or refuses even a quarantine row.
    """
    # Dead letters name no subject: a worker that writes nothing else needs no key.
    pseudonyms = open_pseudonyms(settings) if outcome.artifacts or outcome.quarantined else Pseudonyms(b"")

    def encode_outcome(outcome: Outcome) -> Iterator[OutgoingRecord]:
        return outgoing_records(outcome, pseudonyms, awaited=awaited)

    def write(records: Iterable[OutgoingRecord]) -> None:
        producer.send_all(
            LogRecord(topic_name(settings, record.topic), record.key, record.value, headers=record.headers)
            for record in records
        )

    try:
        write(encode_outcome(outcome))
    except TooLarge:
        # Below our limit and above the broker's. Some may be on the log already; their ids make the repeat idempotent.
        for artifact in outcome.artifacts:
            _write_or_quarantine(artifact, outcome.traces, write, encode_outcome)
        _write_small(encode_outcome(replace(outcome, artifacts=())), write)


def _write_or_quarantine(
    artifact: Artifact, traces: Mapping[Position, bytes], write: Write, encode_outcome: EncodeOutcome
) -> None:
    try:
        write(encode_outcome(Outcome((artifact,), traces=traces)))
    except TooLarge:
        row = quarantine_too_large(
            artifact, len(encode(artifact)), "what the broker takes (max.message.bytes of its topic)"
        )
        _log.warning("larger than the broker takes: quarantined", kind=artifact.kind, event_id=row.event_id)
        withdrawn = (withdraw(artifact, _TOO_LARGE),) if is_changed_chat(artifact) else ()
        _write_small(encode_outcome(Outcome(withdrawn, quarantined=(row,), traces=traces)), write)


def _write_small(records: Iterable[OutgoingRecord], write: Write) -> None:
    try:
        write(records)
    except TooLarge:
        raise Misconfigured(
            f"{QUARANTINE_TOPIC}, {ARTIFACTS_TOPIC} or {DEAD_LETTERS_TOPIC} refuses records of a few kilobytes: raise "
            f"its max.message.bytes to {MAX_MESSAGE_BYTES}"
        ) from None
