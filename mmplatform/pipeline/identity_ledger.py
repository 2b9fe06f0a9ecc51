"""Identity ledger: the contents of each recent event; another content under the same identity is a conflict.

The log decides: within the last records of a topic partition the first content of an identity is kept, and another one
becomes a quarantine row (contract ``identity``) before anything is derived. The same content again is a repetition.

A decision depends only on the records of a fixed window of offsets before the event. The ledger is filled from the log
itself when a worker begins to read a topic partition. So two workers, a restart and a replay decide the same.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mmplatform.artifacts import artifact_id
from mmplatform.derive.passages import quarantine
from mmplatform.events import Arrival, Event, Position
from mmplatform.modalities import IDENTITY
from mmplatform.refusals import Quarantined

MAX_RECORDS: Final = 20_000
"""Records of one topic partition; about 13 MB, and half a second to read at the start. At 25 events a second in a topic
partition that is a quarter of an hour: a source that numbers its events again in one conversation shows at once."""

_REREAD_RECORDS: Final = 10_000
"""Records before the window that stay: after backpressure a batch is read again, and has an earlier window."""

_PartitionKey = tuple[str, int, int]


@dataclass(slots=True)
class _Partition:
    """Offset and digest of the recent records of each identity, by offset; and all of them as they came."""

    by_identity: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    arrived: deque[tuple[int, str]] = field(default_factory=deque)


class IdentityLedger:
    """Recent contents by topic partition; for one thread.

    Args:
        max_records: the window.
        reread_records: how far the records may come out of order.
        stored_conflicts: reasons of the conflicts that the stream found, by the id of their quarantine row.
    """

    def __init__(
        self,
        *,
        max_records: int = MAX_RECORDS,
        reread_records: int = _REREAD_RECORDS,
        stored_conflicts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.max_records = max_records
        self._reread_records = reread_records
        self._stored_conflicts = dict(stored_conflicts or {})
        self._partitions: dict[_PartitionKey, _Partition] = {}

    def missing_partitions(self, positions: Iterable[Position]) -> list[Position]:
        """The first of these positions for each topic partition that is not in the ledger yet."""
        firsts: dict[_PartitionKey, Position] = {}
        for position in positions:
            key = _key(position)
            if key not in self._partitions and (key not in firsts or position.offset < firsts[key].offset):
                firsts[key] = position
        return list(firsts.values())

    def clear(self) -> None:
        """Forget all topic partitions: another worker may read them now."""
        self._partitions.clear()

    def open_partition(self, position: Position) -> None:
        """Note that the records of a topic partition before this position were recorded."""
        self._partitions.setdefault(_key(position), _Partition())

    def record(self, uid: str, digest: str, position: Position) -> tuple[str, Position]:
        """Record an event; returns the digest and position of the first event in the window that has its identity."""
        partition = self._partitions.setdefault(_key(position), _Partition())
        contents = partition.by_identity.setdefault(uid, [])
        start, offset = position.offset - self.max_records, position.offset
        first = next(((earlier, found) for earlier, found in contents if start <= earlier < offset), (offset, digest))
        if (offset, digest) not in contents:  # else it is read again
            insort(contents, (offset, digest))
            partition.arrived.append((offset, uid))
            _drop_before(partition, start - self._reread_records)
        return first[1], position.model_copy(update={"offset": first[0]})

    def split_conflicts(self, arrivals: Sequence[Arrival[Any]]) -> tuple[list[Arrival[Any]], list[Quarantined]]:
        """Separate the events whose identity came before with another content."""
        accepted: list[Arrival[Any]] = []
        conflicts: list[Quarantined] = []
        for arrival in arrivals:
            conflict = self._conflict(arrival)
            if conflict is None:
                accepted.append(arrival)
            else:
                conflicts.append(conflict)
        return accepted, conflicts

    def _conflict(self, arrival: Arrival[Event]) -> Quarantined | None:
        event = arrival.event
        uid, digest = event.uid, event.digest
        anchor = f"{uid}/{digest}"
        first_digest, first = self.record(uid, digest, arrival.position)
        stored = self._stored_conflicts
        reasons = stored.get(artifact_id("quarantined", anchor, 0)) if stored else None
        if reasons is None and first_digest == digest:
            return None
        where = f"{first.topic}[{first.topic_partition}] at offset {first.offset}"
        reasons = reasons or (f"this event id came before in this conversation with other content: {where}",)
        return quarantine(arrival, contract=IDENTITY, reasons=reasons, anchor=anchor)


def _key(position: Position) -> _PartitionKey:
    return position.topic, position.generation, position.topic_partition


def _drop_before(partition: _Partition, start: int) -> None:
    while partition.arrived and partition.arrived[0][0] < start:
        offset, uid = partition.arrived.popleft()
        contents = [found for found in partition.by_identity[uid] if found[0] != offset]
        if contents:
            partition.by_identity[uid] = contents
        else:
            del partition.by_identity[uid]
