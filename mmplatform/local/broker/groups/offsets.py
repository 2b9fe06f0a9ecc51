"""Committed offsets: in memory for reading, on disk before a commit is answered. They never expire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmplatform.local.broker.store import Store

_PUT = "insert or replace into offsets values (?, ?, ?, ?, ?, ?)"
_DELETE = "delete from offsets where group_id = ? and topic = ? and partition = ?"


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A group's position in one partition: the next offset to read."""

    offset: int
    leader_epoch: int
    metadata: str | None


TopicPartition = tuple[str, int]  # topic, partition


class Offsets:
    """The committed offsets of all groups."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_group: dict[str, dict[TopicPartition, CommittedOffset]] = {}

    def open(self) -> None:
        """Read everything; before the store is started."""
        for group, topic, partition, offset, epoch, metadata in self._store.read("select * from offsets"):
            committed = CommittedOffset(int(str(offset)), int(str(epoch)), None if metadata is None else str(metadata))
            self._by_group.setdefault(str(group), {})[str(topic), int(str(partition))] = committed

    def for_group(self, group_id: str) -> dict[TopicPartition, CommittedOffset]:
        """The group's offsets by topic and partition; empty for an unknown group."""
        return self._by_group.get(group_id, {})

    def groups(self) -> list[str]:
        """The groups that have offsets."""
        return [group for group, partitions in self._by_group.items() if partitions]

    async def commit(self, group_id: str, positions: dict[TopicPartition, CommittedOffset]) -> None:
        """Store the positions; returns when they are on disk; only then they are visible.

        Raises StorageFailedError.
        """
        await self._store.write(
            (_PUT, (group_id, topic, number, position.offset, position.leader_epoch, position.metadata))
            for (topic, number), position in positions.items()
        )
        self._by_group.setdefault(group_id, {}).update(positions)

    async def delete(self, group_id: str, partitions: Iterable[TopicPartition]) -> None:
        """Forget the group's positions in these partitions; raises StorageFailedError."""
        committed = [partition for partition in partitions if partition in self.for_group(group_id)]
        await self._store.write((_DELETE, (group_id, *partition)) for partition in committed)
        for partition in committed:
            self.for_group(group_id).pop(partition, None)

    def drop_topic(self, topic: str) -> None:
        """Forget all positions in a deleted topic; the store forgets them with the topic."""
        for positions in self._by_group.values():
            for partition in [partition for partition in positions if partition[0] == topic]:
                del positions[partition]

    def drop_group(self, group_id: str) -> None:
        """Forget a deleted group; the store forgets it with the group."""
        self._by_group.pop(group_id, None)
