"""Fills the identity ledger from the log: the records before those that a worker begins with."""

from __future__ import annotations

from collections.abc import Iterable

from mmplatform.errors import Rejected
from mmplatform.events import Position, decode_event
from mmplatform.kafka.headers import DIGEST_HEADER, EVENT_HEADER, log_generation
from mmplatform.kafka.reader import LogEntry, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.pipeline.identity_ledger import IdentityLedger
from mmplatform.settings import Settings


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
            if (identity := _identity(entry))
        ]
        ledger.open_partition(first)
        for offset, generation, uid, digest in earlier:
            ledger.record(uid, digest, first.model_copy(update={"offset": offset, "generation": generation}))


def _identity(entry: LogEntry) -> tuple[str, str] | None:
    """Identity and digest of an event; None for a record that is none."""
    uid, digest = (entry.headers.get(name, b"").decode(errors="replace") for name in (EVENT_HEADER, DIGEST_HEADER))
    if uid and digest:
        return uid, digest
    try:  # a foreign client's, without our headers
        event = decode_event(entry.value)
    except Rejected:
        return None
    return event.uid, event.digest
