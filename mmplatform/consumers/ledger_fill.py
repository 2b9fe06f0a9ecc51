"""Fills the identity ledger from the log: the records before those that a worker begins with."""

from __future__ import annotations

from collections.abc import Iterable

from mmplatform.errors import Rejected
from mmplatform.events import Position, decode_event
from mmplatform.kafka.headers import DIGEST_HEADER, EVENT_HEADER
from mmplatform.kafka.reader import LogEntry, ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.pipeline.identity_ledger import MAX_RECORDS, IdentityLedger
from mmplatform.settings import Settings


def fill_ledger(ledger: IdentityLedger, log: ReplayLog, settings: Settings, positions: Iterable[Position]) -> None:
    """Record the events before these positions, of topic partitions that are not in the ledger yet.

    Raises:
        Unavailable: the log does not answer; nothing was recorded for the topic partition that was being read.
    """
    for (topic, number), first in ledger.missing_partitions(positions).items():
        start = max(first.offset - MAX_RECORDS, 0)
        earlier = list(log.read(topic_name(settings, topic), {number: start}, {number: first.offset}))
        ledger.open_partition(topic, number)
        for entry in earlier:
            _record(ledger, entry, first)


def _record(ledger: IdentityLedger, entry: LogEntry, first: Position) -> None:
    position = first.model_copy(update={"offset": entry.position.offset})
    uid, digest = (entry.headers.get(name, b"").decode(errors="replace") for name in (EVENT_HEADER, DIGEST_HEADER))
    if not (uid and digest):  # a foreign client's, without our headers
        try:
            event = decode_event(entry.value)
        except Rejected:
            return
        uid, digest = event.uid, event.digest
    ledger.record(uid, digest, position)
