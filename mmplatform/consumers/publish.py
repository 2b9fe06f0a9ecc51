"""An outcome onto the log: artifacts, quarantine, dead letters. All are acknowledged on return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from mmplatform.artifacts import Artifact, Quarantined, artifact_id
from mmplatform.errors import Misconfigured, TooLarge
from mmplatform.events import encode, utc_now
from mmplatform.ingest.producer import LogProducer, LogRecord
from mmplatform.ingest.topics import MESSAGE_BYTES, topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, DEAD_LETTERS_TOPIC, QUARANTINE_TOPIC
from mmplatform.pipeline.process import Outcome
from mmplatform.settings import Settings

LARGEST: Final = 900_000
"""Bytes of one record: below what every topic of ours takes, with room for key and headers."""

_log = structlog.get_logger(__name__)


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
            row = _too_large(artifact, len(value), f"the {LARGEST} that fit a record of the log")
            yield Outgoing(QUARANTINE_TOPIC, row.conversation_id, encode(row))
    for row in outcome.quarantined:
        yield Outgoing(QUARANTINE_TOPIC, row.conversation_id, encode(row))
    for letter in outcome.dead_letters:
        place = letter.position
        yield Outgoing(DEAD_LETTERS_TOPIC, f"{place.topic}/{place.topic_partition}/{place.offset}", encode(letter))


def _too_large(artifact: Artifact, size: int, limit: str) -> Quarantined:
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
        reasons=(f"the {artifact.kind} is {size} bytes, over {limit}",),
        position=artifact.provenance.position,
    )


def publish(outcome: Outcome, producer: LogProducer, settings: Settings) -> None:
    """Write the outcome and wait for every acknowledgement; what the broker finds too large is set aside.

    Raises:
        Unavailable: the broker does not acknowledge.
        Misconfigured: a topic is not there, or takes not even the record that sets another one aside.
    """

    def write(some: Iterable[Outgoing]) -> None:
        producer.send_all(LogRecord(topic_name(settings, out.topic), out.key, out.value) for out in some)

    try:
        write(outgoing(outcome))
    except TooLarge:
        # Below our limit and above the broker's. Some may be on the log already: ids make the repeat harmless.
        for artifact in outcome.artifacts:
            _write_or_set_aside(artifact, write)
        _write_small(outgoing(Outcome((), outcome.quarantined, outcome.dead_letters)), write)


def _write_or_set_aside(artifact: Artifact, write: Callable[[Iterable[Outgoing]], None]) -> None:
    try:
        write(outgoing(Outcome((artifact,))))
    except TooLarge:
        row = _too_large(artifact, len(encode(artifact)), "what the broker takes (max.message.bytes of its topic)")
        _log.warning("larger than the broker takes: set aside", kind=artifact.kind, event_id=row.event_id)
        _write_small(outgoing(Outcome(quarantined=(row,))), write)


def _write_small(some: Iterable[Outgoing], write: Callable[[Iterable[Outgoing]], None]) -> None:
    try:
        write(some)
    except TooLarge:
        raise Misconfigured(
            f"{QUARANTINE_TOPIC} or {DEAD_LETTERS_TOPIC} refuses records of a few kilobytes: raise its "
            f"max.message.bytes to {MESSAGE_BYTES}"
        ) from None
