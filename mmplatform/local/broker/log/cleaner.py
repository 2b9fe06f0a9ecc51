"""Maintenance of logs: checkpoints, retention by time and by size, and compaction, one round every few seconds."""

from __future__ import annotations

import asyncio

import structlog

from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.log.catalog import Topic, TopicCatalog
from mmplatform.local.broker.log.compaction import Compactor
from mmplatform.local.broker.log.partition import CHECKPOINT_BYTES, PartitionLog, now_ms
from mmplatform.local.broker.log.segment import NO_TIMESTAMP
from mmplatform.local.broker.store import Store

_log = structlog.get_logger(__name__)


class Cleaner:
    """Maintains every partition in turn; a partition that fails is logged and tried again in the next round."""

    def __init__(self, catalog: TopicCatalog, store: Store, interval: float) -> None:
        self._catalog = catalog
        self._compactor = Compactor(catalog, store)
        self._interval = interval

    def load(self) -> None:
        """Read how far compaction has come; before the store is started."""
        self._compactor.load()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            for topic in self._catalog:
                for number, log in enumerate(topic.partitions):
                    await self._tend(topic, number, log)

    async def _tend(self, topic: Topic, number: int, log: PartitionLog) -> None:
        if log.closed or log.failed:
            return
        try:
            _roll_if_old(log)
            if topic.config.deletes:
                await self._expire(topic, number, log)
            if topic.config.compacts and not log.closed:
                await self._compactor.compact(topic, number, log)
            if log.unsaved_bytes >= CHECKPOINT_BYTES and not log.closed:
                await self._catalog.checkpoint(topic, number)
        except (OSError, ValueError, StorageFailedError) as error:
            _log.error("upkeep_failed", topic=topic.name, partition=number, error=str(error))
        except Exception as error:  # noqa: BLE001 - an unexpected error must not end the maintenance of the other partitions
            _log.error("upkeep_failed", topic=topic.name, partition=number, error=repr(error), exc_info=error)

    async def _expire(self, topic: Topic, number: int, log: PartitionLog) -> None:
        start = max(_start_by_time(log), _start_by_size(log))
        if start > log.log_start:
            removed = await self._catalog.advance_start(topic, number, start)
            _log.info("retention", topic=topic.name, partition=number, log_start=start, segments_removed=removed)


def _roll_if_old(log: PartitionLog) -> None:
    """An idle topic's last segment must close too, or it would be neither deleted nor compacted."""
    if log.active.size and now_ms() - log.active.created_ms > log.config.segment_ms:
        log.roll(now_ms())


def _start_by_time(log: PartitionLog) -> int:
    """Return the log start after removing leading segments whose newest record is older than retention.ms."""
    if log.config.retention_ms < 0:
        return log.log_start
    horizon = now_ms() - log.config.retention_ms
    start = log.log_start
    for segment in log.segments:
        newest = segment.read_max_timestamp()
        # A segment that compaction emptied has no age and goes with those around it.
        if segment.size and (newest == NO_TIMESTAMP or newest >= horizon or segment.durable_size < segment.size):
            break
        start = segment.next_offset
    return start


def _start_by_size(log: PartitionLog) -> int:
    """Return the log start after removing leading segments in excess of retention.bytes."""
    if log.config.retention_bytes < 0:
        return log.log_start
    start, surplus = log.log_start, log.size - log.config.retention_bytes
    for segment in log.segments[:-1]:
        surplus -= segment.size
        if surplus < 0 or segment.durable_size < segment.size:
            break
        start = segment.next_offset
    return start
