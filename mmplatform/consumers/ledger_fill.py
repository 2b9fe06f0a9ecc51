"""Fills the identity ledger from the log: the records before those that a worker begins with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mmplatform.errors import Rejected
from mmplatform.events import SCHEMA_VERSION, Position, decode_event
from mmplatform.kafka.headers import DIGEST_HEADER, EVENT_HEADER, log_generation
from mmplatform.kafka.reader import LogEntry, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import CALL, MODALITIES
from mmplatform.pipeline.identity_ledger import IdentityLedger
from mmplatform.settings import Settings

_KINDS: Final = {spec.topic: spec.event_kinds for spec in MODALITIES.values()}


def fill_ledger(ledger: IdentityLedger, log: ReplayLog, settings: Settings, positions: Iterable[Position]) -> None:
    """Record the events before these positions, of topic partitions that are not in the ledger yet.

    Raises:
        Unavailable: the log does not answer; nothing was recorded for the topic partition that was being read.
    """
    for first in ledger.missing_partitions(positions):
        number, start = first.topic_partition, max(first.offset - ledger.max_records, 0)
        entries = log.read(topic_name(settings, first.topic), {number: start}, {number: first.offset})
        # Read to the end before the first is recorded, and without the values, which may have a megabyte each.
        earlier = [
            (entry.position.offset, log_generation(entry.headers), *identity)
            for entry in entries
            if (identity := _identity(entry, first.topic))
        ]
        ledger.open_partition(first)
        for offset, generation, uid, digest in earlier:
            ledger.record(uid, digest, first.model_copy(update={"offset": offset, "generation": generation}))


def _identity(entry: LogEntry, topic: str) -> tuple[str, str] | None:
    """Identity and digest of an event; None for a record that the worker of this topic parks.

    Such a record was no first content when it came, so it is none after a restart.
    """
    if topic == CALL.topic and not entry.raw_key:
        return None
    names = (EVENT_HEADER, DIGEST_HEADER, "kind", "schema_version")
    uid, digest, kind, version = (entry.headers.get(name, b"").decode(errors="replace") for name in names)
    if uid and digest and kind in _KINDS[topic] and version == str(SCHEMA_VERSION):
        return uid, digest
    try:  # a foreign client's, without our headers
        event = decode_event(entry.value)
    except Rejected:
        return None
    parked = topic == CALL.topic and event.conversation_key.encode() != entry.raw_key
    return None if parked or event.kind not in _KINDS[topic] else (event.uid, event.digest)
