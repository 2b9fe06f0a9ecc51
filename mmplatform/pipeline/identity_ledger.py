"""Identity ledger: the first content of each recent event; another content under the same identity is a conflict.

The log decides: of two events with one identity the first one of their topic partition is kept, and the second one
becomes a quarantine row (contract ``identity``) before anything is derived. The same content again is a repetition.

The ledger holds the last records of each topic partition and is filled from the log itself when a worker begins to read
one. So two workers, a restart and a replay decide the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mmplatform.derive.passages import quarantine
from mmplatform.events import Arrival, Event, Position
from mmplatform.refusals import Quarantined

IDENTITY: Final = "identity"
"""Contract name of quarantine rows of conflicts."""

MAX_RECORDS: Final = 20_000
"""Records of one topic partition; about 5 MB, and half a second to read at the start. At 25 events a second in a topic
partition that is a quarter of an hour: a source that numbers its events anew in one conversation shows at once."""


@dataclass(slots=True)
class _Partition:
    """First digest and position of each identity, oldest first."""

    first: OrderedDict[str, tuple[str, Position]] = field(default_factory=OrderedDict)


class IdentityLedger:
    """First contents by topic partition; for one thread.

    Args:
        known_conflicts: rows that an earlier decision made, by the position of their event; they are kept.
    """

    def __init__(
        self, *, max_records: int = MAX_RECORDS, known_conflicts: Mapping[Position, Quarantined] | None = None
    ) -> None:
        self._max_records = max_records
        self._known_conflicts = dict(known_conflicts or {})
        self._partitions: dict[tuple[str, int], _Partition] = {}

    def missing_partitions(self, positions: Iterable[Position]) -> dict[tuple[str, int], Position]:
        """Topic partitions that are not in the ledger yet, each with the first of these positions."""
        firsts: dict[tuple[str, int], Position] = {}
        for position in positions:
            key = (position.topic, position.topic_partition)
            if key not in self._partitions and (key not in firsts or position.offset < firsts[key].offset):
                firsts[key] = position
        return firsts

    def clear(self) -> None:
        """Forget all topic partitions: another worker may read them now."""
        self._partitions.clear()

    def record(self, uid: str, digest: str, position: Position) -> tuple[str, Position]:
        """Record an event unless its identity is known; returns the digest and position of the first one."""
        partition = self._partitions.setdefault((position.topic, position.topic_partition), _Partition())
        first = partition.first.setdefault(uid, (digest, position))
        while len(partition.first) > self._max_records:
            partition.first.popitem(last=False)
        return first

    def open_partition(self, topic: str, topic_partition: int) -> None:
        """Note that the earlier records of a topic partition were recorded."""
        self._partitions.setdefault((topic, topic_partition), _Partition())

    def split_conflicts(self, arrivals: Sequence[Arrival[Any]]) -> tuple[list[Arrival[Any]], list[Quarantined]]:
        """Separate the events whose identity came before with another content."""
        accepted: list[Arrival[Any]] = []
        conflicts: list[Quarantined] = []
        for arrival in arrivals:
            conflict = self._known_conflicts.get(arrival.position) or self._conflict(arrival)
            if conflict is None:
                accepted.append(arrival)
            else:
                conflicts.append(conflict)
        return accepted, conflicts

    def _conflict(self, arrival: Arrival[Event]) -> Quarantined | None:
        event = arrival.event
        digest, first = self.record(event.uid, event.digest, arrival.position)
        if digest == event.digest:
            return None
        where = f"{first.topic}[{first.topic_partition}] at offset {first.offset}"
        reason = f"this event id came before in this conversation with other content: {where}"
        return quarantine(arrival, contract=IDENTITY, reasons=(reason,), anchor=f"{event.uid}/{event.digest}")
