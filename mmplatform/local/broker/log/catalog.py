"""Topics of this broker: names, ids, configs and open partition logs; a change is on disk before it is visible."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.log.flusher import Flusher, sync_directory
from mmplatform.local.broker.log.partition import Checkpoint, PartitionLog, now_ms
from mmplatform.local.broker.log.recovery import open_partition
from mmplatform.local.broker.store import Store
from mmplatform.local.broker.topic_configs import TopicConfig

_SAVE = """insert into partitions (topic_id, partition, log_start, segment, position, producers, append_time)
    values (?, ?, ?, ?, ?, ?, ?) on conflict (topic_id, partition) do update set
    log_start = excluded.log_start, segment = excluded.segment, position = excluded.position,
    producers = excluded.producers, append_time = excluded.append_time"""
_CHECKPOINTS = "select topic_id, partition, log_start, segment, position, producers, append_time from partitions"


_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_MAX_FILE_NAME = 255


def is_topic_name(name: str) -> bool:
    """Check that Kafka accepts this as the name of a topic."""
    return _NAME.fullmatch(name) is not None and name not in {".", ".."}


@dataclass(slots=True)
class Topic:
    """A topic and its partitions, by number."""

    name: str
    id: uuid.UUID
    config: TopicConfig
    partitions: list[PartitionLog]


class TopicCatalog:
    """All topics. Changing methods run on the event loop; reads never wait.

    A handler that creates, grows, configures or deletes a topic holds `change_lock` from its first check until the
    change is on disk. Only then it is visible, so that no acknowledged change is lost by a restart. A change that could
    not be stored raises StorageFailedError and leaves everything unchanged.
    """

    def __init__(self, data: Path, store: Store, flusher: Flusher) -> None:
        self._root = data / "topics"
        self._store = store
        self._flusher = flusher
        self.change_lock = asyncio.Lock()
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[uuid.UUID, Topic] = {}

    def open(self) -> None:
        """Open every known topic, and finish deletions that a crash interrupted; before the store is started."""
        self._root.mkdir(parents=True, exist_ok=True)
        for topic_id, name in self._store.read("select id, name from deleted_topics"):
            shutil.rmtree(self._directory(str(name), uuid.UUID(str(topic_id))), ignore_errors=True)
        checkpoints = self._checkpoints()
        for topic_id, name, count, configs in self._store.read("select id, name, partitions, configs from topics"):
            config = TopicConfig(json.loads(str(configs)))
            topic = Topic(str(name), uuid.UUID(str(topic_id)), config, [])
            for number in range(int(str(count))):
                checkpoint = checkpoints.get((str(topic_id), number), Checkpoint())
                topic.partitions.append(open_partition(self._partition(topic, number), config, checkpoint))
            self._add(topic)

    def _checkpoints(self) -> dict[tuple[str, int], Checkpoint]:
        return {
            (str(topic_id), int(str(number))): Checkpoint(
                int(str(start)), int(str(base)), int(str(position)), str(producers), int(str(append_time))
            )
            for topic_id, number, start, base, position, producers, append_time in self._store.read(_CHECKPOINTS)
        }

    # --- reading -------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Topic]:
        return iter(list(self._by_name.values()))

    def get(self, name: str) -> Topic | None:
        """The topic of this name."""
        return self._by_name.get(name)

    def get_by_id(self, topic_id: uuid.UUID) -> Topic | None:
        """The topic of this id."""
        return self._by_id.get(topic_id)

    def partition(self, name: str, number: int) -> PartitionLog | None:
        """The log of one partition, or None when there is no such topic or partition."""
        topic = self._by_name.get(name)
        if topic is None or not 0 <= number < len(topic.partitions):
            return None
        return topic.partitions[number]

    # --- changing ------------------------------------------------------------------------------------------------

    async def create(self, name: str, partitions: int, configs: Mapping[str, str]) -> Topic:
        """Create a topic that does not exist yet; arguments are validated by the caller."""
        topic = Topic(name, uuid.uuid4(), TopicConfig(configs), [])
        directory = self._directory(name, topic.id)
        row = (str(topic.id), name, partitions, json.dumps(dict(configs)))
        try:
            topic.partitions = [self._open_new(topic, number) for number in range(partitions)]
            sync_directory(directory)
            sync_directory(self._root)
            await self._store.write([("insert into topics values (?, ?, ?, ?)", row)])
        except (OSError, StorageFailedError) as error:
            shutil.rmtree(directory, ignore_errors=True)
            raise StorageFailedError(f"topic {name!r} is not created: {error}") from error
        self._add(topic)
        return topic

    async def grow(self, topic: Topic, partitions: int) -> None:
        """Add partitions up to the given number."""
        numbers = range(len(topic.partitions), partitions)
        try:
            added = [self._open_new(topic, number) for number in numbers]
            sync_directory(self._directory(topic.name, topic.id))
            await self._store.write([("update topics set partitions = ? where id = ?", (partitions, str(topic.id)))])
        except (OSError, StorageFailedError) as error:
            for number in numbers:
                shutil.rmtree(self._partition(topic, number), ignore_errors=True)
            raise StorageFailedError(f"topic {topic.name!r} does not grow: {error}") from error
        topic.partitions.extend(added)

    async def configure(self, topic: Topic, configs: Mapping[str, str]) -> None:
        """Replace the topic's overrides; validated by the caller."""
        row = (json.dumps(dict(configs)), str(topic.id))
        await self._store.write([("update topics set configs = ? where id = ?", row)])
        topic.config.replace(configs)

    async def delete(self, topic: Topic) -> None:
        """Delete a topic: its row and the groups' offsets for it first, then its files."""
        del self._by_name[topic.name], self._by_id[topic.id]
        for log in topic.partitions:
            log.closed = True
            log.wake()
        key = (str(topic.id),)
        try:
            await self._store.write(
                [
                    ("insert into deleted_topics values (?, ?)", (str(topic.id), topic.name)),
                    ("delete from topics where id = ?", key),
                    ("delete from partitions where topic_id = ?", key),
                    ("delete from offsets where topic = ?", (topic.name,)),
                ]
            )
        except StorageFailedError:
            self._add(topic)
            for log in topic.partitions:
                log.closed = False
                self._flusher.request(log)
            raise
        await self._flusher.drain(topic.partitions)
        for log in topic.partitions:
            log.close()
        shutil.rmtree(self._directory(topic.name, topic.id), ignore_errors=True)
        # Not awaited: the topic is deleted, and the next start finds no files to remove.
        self._store.write([("delete from deleted_topics where id = ?", key)])

    async def advance_start(self, topic: Topic, number: int, offset: int) -> int:
        """Forget the records of a partition below `offset`; returns how many segments were removed from disk.

        Raises OSError or StorageFailedError, with the log as it was.
        """
        log = topic.partitions[number]
        async with log.cut_lock:
            before = log.log_start
            removed = log.advance_start(offset)
            self._flusher.request(log)
            try:
                # The new start is on disk before the files are removed: a crash in between leaves files, never a gap.
                await self.checkpoint(topic, number)
            except StorageFailedError:
                log.restore_start(removed, before)
                raise
            for segment in removed:
                segment.remove()
        log.wake()
        return len(removed)

    def checkpoint(self, topic: Topic, number: int) -> asyncio.Future[None]:
        """Save the durable position of a partition, so that the next start need not read what is before it."""
        log = topic.partitions[number]
        checkpoint = log.checkpoint(now_ms())
        row = (
            str(topic.id),
            number,
            checkpoint.log_start,
            checkpoint.segment,
            checkpoint.position,
            checkpoint.producers,
            checkpoint.append_time,
        )
        return self._store.write([(_SAVE, row)])

    async def close(self) -> None:
        """Flush, save checkpoints and close all logs."""
        for topic in self:
            for log in topic.partitions:
                self._flusher.request(log)
        await self._flusher.drain()
        for topic in self:
            for number, log in enumerate(topic.partitions):
                self.checkpoint(topic, number)
                log.close()

    def _add(self, topic: Topic) -> None:
        self._by_name[topic.name] = topic
        self._by_id[topic.id] = topic

    def _open_new(self, topic: Topic, number: int) -> PartitionLog:
        return open_partition(self._partition(topic, number), topic.config, Checkpoint())

    def _directory(self, name: str, topic_id: uuid.UUID) -> Path:
        short = f"{name}.{topic_id.hex[:8]}"
        if len(short) <= _MAX_FILE_NAME:
            return self._root / short
        # The longest names that Kafka allows are cut; the whole id tells them apart.
        suffix = f".{topic_id.hex}"
        return self._root / f"{name[: _MAX_FILE_NAME - len(suffix)]}{suffix}"

    def _partition(self, topic: Topic, number: int) -> Path:
        return self._directory(topic.name, topic.id) / str(number)
