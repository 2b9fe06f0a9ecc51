"""Committed offsets: in memory for reading, on disk before a commit is answered. They never expire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmplatform.local.broker.store import Store

_PUT = "insert or replace into offsets values (?, ?, ?, ?, ?, ?)"
_DELETE = "delete from offsets where group_id = ? and topic = ? and partition = ?"


@dataclass(frozen=True, slots=True)
class Committed:
    """A group's position in one partition: the next offset to read."""

    offset: int
    leader_epoch: int
    metadata: str | None


Place = tuple[str, int]  # topic, partition


class Offsets:
    """The committed offsets of all groups."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_group: dict[str, dict[Place, Committed]] = {}

    def open(self) -> None:
        """Read everything; before the store is started."""
        for group, topic, partition, offset, epoch, metadata in self._store.read("select * from offsets"):
            committed = Committed(int(str(offset)), int(str(epoch)), None if metadata is None else str(metadata))
            self._by_group.setdefault(str(group), {})[str(topic), int(str(partition))] = committed

    def of(self, group_id: str) -> dict[Place, Committed]:
        """The group's offsets by topic and partition; empty for an unknown group."""
        return self._by_group.get(group_id, {})

    def groups(self) -> list[str]:
        """The groups that have offsets."""
        return [group for group, places in self._by_group.items() if places]

    async def commit(self, group_id: str, positions: dict[Place, Committed]) -> None:
        """Store the positions; returns when they are on disk, and only then are they seen.

        Raises StorageFailedError.
        """
        await self._store.write(
            (_PUT, (group_id, topic, number, at.offset, at.leader_epoch, at.metadata))
            for (topic, number), at in positions.items()
        )
        self._by_group.setdefault(group_id, {}).update(positions)

    async def delete(self, group_id: str, places: Iterable[Place]) -> None:
        """Forget the group's positions in these partitions; raises StorageFailedError."""
        gone = [place for place in places if place in self.of(group_id)]
        await self._store.write((_DELETE, (group_id, *place)) for place in gone)
        for place in gone:
            self.of(group_id).pop(place, None)

    def drop_topic(self, topic: str) -> None:
        """Forget all positions in a deleted topic; the store forgets them with the topic."""
        for held in self._by_group.values():
            for place in [place for place in held if place[0] == topic]:
                del held[place]

    def drop_group(self, group_id: str) -> None:
        """Forget a deleted group; the store forgets it with the group."""
        self._by_group.pop(group_id, None)
