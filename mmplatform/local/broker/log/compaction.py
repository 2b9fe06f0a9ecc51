"""Compaction: keeps only the last record of each key; offsets do not change.

Closed segments are rewritten one by one, off the event loop, into a new file that replaces the old one in a single
rename, so that a crash leaves either. Batches keep their header (offsets, producer, base timestamp) around fewer
records; a batch that keeps all its records is kept verbatim, one that keeps none is dropped. What is rewritten is
not compressed again.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import structlog

from mmplatform.local.broker.log.batch import BatchHeader, rebuilt
from mmplatform.local.broker.log.catalog import Topic, TopicCatalog
from mmplatform.local.broker.log.flusher import sync_directory
from mmplatform.local.broker.log.partition import PartitionLog, now_ms
from mmplatform.local.broker.log.records import RecordView, inflate, walk
from mmplatform.local.broker.log.recovery import CLEANED_SUFFIX
from mmplatform.local.broker.log.segment import LogSegment
from mmplatform.local.broker.store import Store

_log = structlog.get_logger(__name__)
_SAVE = """insert into partitions (topic_id, partition, cleaned) values (?, ?, ?)
    on conflict (topic_id, partition) do update set cleaned = excluded.cleaned"""


@dataclass(frozen=True, slots=True)
class _Plan:
    """The closed segments to rewrite, the offset from which they are not compacted yet, and the tombstone horizon."""

    segments: tuple[LogSegment, ...]
    dirty_from: int
    end: int
    horizon_ms: int


@dataclass(frozen=True, slots=True)
class _Rewritten:
    segment: LogSegment
    path: Path
    size: int


class Compactor:
    """Compacts partitions, and stores up to where each is compacted."""

    def __init__(self, catalog: TopicCatalog, store: Store) -> None:
        self._catalog = catalog
        self._store = store
        self._cleaned: dict[tuple[str, int], int] = {}

    def load(self) -> None:
        """Read how far each partition is compacted; before the store is started."""
        for topic_id, number, cleaned in self._store.read("select topic_id, partition, cleaned from partitions"):
            self._cleaned[str(topic_id), int(str(number))] = int(str(cleaned))

    async def compact(self, topic: Topic, number: int, log: PartitionLog) -> None:
        """Compact one partition if enough of it is dirty.

        1. write the retained records to new files
        2. move the checkpoint behind them: a position in a segment is invalid once it is rewritten
        3. replace the old files
        4. store how far it is compacted

        Raises OSError, ValueError or StorageFailedError, with the log unharmed.
        """
        key = (str(topic.id), number)
        plan = _plan(log, self._cleaned.get(key, 0))
        if plan is None:
            return
        before = log.size
        try:
            rewritten = await asyncio.to_thread(_rewrite_all, plan)
            await self._catalog.checkpoint(topic, number)
            if log.closed:
                return
            _swap(log, rewritten)
        finally:
            for leftover in log.directory.glob(f"*{CLEANED_SUFFIX}"):
                leftover.unlink(missing_ok=True)
        self._cleaned[key] = plan.end
        await self._store.write([(_SAVE, (*key, plan.end))])
        _log.info("compacted", topic=topic.name, partition=number, bytes_before=before, bytes_after=log.size)


def _plan(log: PartitionLog, cleaned: int) -> _Plan | None:
    """Choose the segments to compact; None while too little is dirty, or no dirty segment is old enough."""
    config, now = log.config, now_ms()
    closed: list[LogSegment] = []
    for segment in log.segments[:-1]:
        too_young = now - segment.read_max_timestamp() < config.min_compaction_lag_ms
        if segment.durable_size < segment.size or (too_young and segment.next_offset > cleaned):
            break
        closed.append(segment)
    dirty = [segment for segment in closed if segment.next_offset > cleaned and segment.size]
    if not dirty:
        return None
    ratio = sum(segment.size for segment in dirty) / sum(segment.size for segment in closed)
    overdue = now - dirty[0].read_max_timestamp() > config.max_compaction_lag_ms
    if ratio < config.min_cleanable_ratio and not overdue:
        return None
    return _Plan(tuple(closed), cleaned, closed[-1].next_offset, now - config.delete_retention_ms)


def _rewrite_all(plan: _Plan) -> list[_Rewritten]:
    last = _last_offsets(plan)
    return [done for segment in plan.segments if (done := _rewrite(segment, last, plan)) is not None]


def _last_offsets(plan: _Plan) -> dict[bytes, int]:
    """The last offset of every key in the dirty part; an older record of such a key can go."""
    last: dict[bytes, int] = {}
    for segment in plan.segments:
        if segment.next_offset <= plan.dirty_from:
            continue
        for position, header in segment.batches():
            for record in walk(header, inflate(header, segment.read(position, header.size))):
                if record.key is not None:
                    last[record.key] = record.offset
    return last


def _rewrite(segment: LogSegment, last: dict[bytes, int], plan: _Plan) -> _Rewritten | None:
    """Write the retained records of one segment to a new file; None when all are retained."""
    path = segment.path.with_suffix(CLEANED_SUFFIX)
    size = 0
    with path.open("wb") as file:
        for position, header in segment.batches():
            batch = segment.read(position, header.size)
            retained = _retained(header, batch, last, plan)
            file.write(retained)
            size += len(retained)
        file.flush()
        os.fsync(file.fileno())
    if size == segment.size:
        path.unlink()
        return None
    return _Rewritten(segment, path, size)


def _retained(header: BatchHeader, batch: bytes, last: dict[bytes, int], plan: _Plan) -> bytes:
    body = inflate(header, batch)
    records = list(walk(header, body))
    retained = [record for record in records if _is_retained(record, last, plan)]
    if len(retained) == len(records):
        return batch
    if not retained:
        return b""
    return rebuilt(
        header,
        b"".join(body[record.start : record.end] for record in retained),
        len(retained),
        max(record.timestamp for record in retained),
    )


def _is_retained(record: RecordView, last: dict[bytes, int], plan: _Plan) -> bool:
    if record.key is None:
        return False  # from before the topic was compacted
    if last.get(record.key, -1) > record.offset:
        return False
    # A tombstone stays until every consumer had delete.retention.ms to see it.
    return not record.is_tombstone or record.timestamp >= plan.horizon_ms


def _swap(log: PartitionLog, rewritten: list[_Rewritten]) -> None:
    """Replace the old files; segments that retention removed meanwhile are skipped."""
    for done in rewritten:
        if done.segment not in log.segments:
            done.path.unlink()
            continue
        done.segment.replace(done.path, done.size)
        if done.size == 0 and done.segment is not log.segments[0]:
            log.segments.remove(done.segment)
            done.segment.remove()
    sync_directory(log.directory)
