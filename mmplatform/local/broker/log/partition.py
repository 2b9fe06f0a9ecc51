"""Log of one partition: append, read, find by offset or time, cut at the front.

`high_watermark` is the end of the durable records, and no consumer reads past it, so a crash cannot take back a record
that was read. `end_offset` is ahead of it by the records that wait for the next flush.
All methods run on the event loop's thread; the flusher and the cleaner touch files that no longer change.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.log.batch import NO_APPEND_TIME, BatchHeader, CorruptBatchError, read_header, stamped
from mmplatform.local.broker.log.producers import Producers
from mmplatform.local.broker.log.records import inflate, walk
from mmplatform.local.broker.log.segment import NO_TIMESTAMP, LogSegment
from mmplatform.local.broker.topic_configs import TopicConfig

_HEADER_BYTES = 61
CHECKPOINT_BYTES = 8 * 1024 * 1024


def now_ms() -> int:
    """Wall-clock time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class OffsetOutOfRangeError(Exception):
    """The offset lies before the start of the log or past its high watermark."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Position in a segment up to which a partition is valid and durable, and its state at that point.

    That is its producers and the newest append time, which no later batch may undercut.
    """

    log_start: int = 0
    segment: int = 0
    position: int = 0
    producers: str = "[]"
    append_time: int = NO_APPEND_TIME


@dataclass(frozen=True, slots=True)
class FlushTarget:
    """Target of a flush: these segments up to these sizes, and so everything below `offset`."""

    offset: int
    sizes: tuple[tuple[LogSegment, int], ...]


class PartitionLog:
    """The segments of one partition, oldest first; the last one is written."""

    def __init__(
        self,
        directory: Path,
        config: TopicConfig,
        segments: list[LogSegment],
        producers: Producers,
        *,
        append_time: int = NO_APPEND_TIME,
    ) -> None:
        self.directory = directory
        self.config = config
        self.segments = segments
        self.producers = producers
        self.append_time = append_time
        self.log_start = segments[0].base_offset
        self.end_offset = segments[-1].next_offset
        self.high_watermark = self.end_offset
        self.failed = False
        self.closed = False
        self.unsaved_bytes = 0
        # Held while the log is cut at the front: two cuts at once could not be undone one by one.
        self.cut_lock = asyncio.Lock()
        self._unsynced: list[LogSegment] = []
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def active(self) -> LogSegment:
        """The segment that is written."""
        return self.segments[-1]

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    # --- writing -------------------------------------------------------------------------------------------------

    def append(self, batch: bytes, header: BatchHeader) -> BatchHeader:
        """Append one checked batch; returns its header with the offset and, where the topic wants it, the time it got.

        It is readable and acknowledged only after the next flush. Raises StorageFailedError.
        """
        if self.failed or self.closed:
            raise StorageFailedError(str(self.directory))
        now = now_ms()
        append_time = max(now, self.append_time) if self.config.appends_with_time else NO_APPEND_TIME
        appended, parts = stamped(batch, header, self.end_offset, append_time)
        try:
            if self._is_full(header.size, now):
                self.roll(now)
            self.active.append(parts, appended)
        except OSError as error:
            raise StorageFailedError(f"{self.directory}: {error}") from error
        self.end_offset = appended.next_offset
        self.append_time = max(self.append_time, append_time)
        self.unsaved_bytes += appended.size
        self.producers.record(appended, now)
        self._add_unsynced(self.active)
        return appended

    def roll(self, now: int) -> None:
        """Close the active segment and start the next; an empty active segment stays."""
        if self.active.size == 0 and self.active.base_offset == self.end_offset:
            return
        full = self.active
        self.segments.append(LogSegment.create(self.directory, self.end_offset, now))
        self._add_unsynced(self.active)
        if full.durable_size == full.size and full not in self._unsynced:
            full.close()

    def _is_full(self, incoming: int, now: int) -> bool:
        active = self.active
        if active.size == 0:
            return False
        return active.size + incoming > self.config.segment_bytes or now - active.created_ms > self.config.segment_ms

    def _add_unsynced(self, segment: LogSegment) -> None:
        if segment not in self._unsynced:
            self._unsynced.append(segment)

    # --- durability ----------------------------------------------------------------------------------------------

    @property
    def needs_flush(self) -> bool:
        """True while appended bytes wait for a flush."""
        return bool(self._unsynced) and not self.failed and not self.closed

    def flush_target(self) -> FlushTarget:
        """Return what has to be flushed now; later appends wait for the next flush."""
        target = FlushTarget(self.end_offset, tuple((segment, segment.size) for segment in self._unsynced))
        self._unsynced = []
        return target

    def flushed(self, target: FlushTarget) -> None:
        """Mark the target as durable: consumers may read it, and waiting producers are answered."""
        for segment, size in target.sizes:
            segment.durable_size = max(segment.durable_size, size)
            segment.directory_synced = True
        self.high_watermark = max(self.high_watermark, target.offset)
        self.wake()
        for segment, _ in target.sizes:
            if segment is not self.active and segment not in self._unsynced:
                segment.close()

    def fail(self) -> None:
        """The disk refused a flush: nothing after the high watermark can be promised any more.

        It is cut off, because the system may still have it in its cache: the next start would treat it as durable.
        """
        self.failed = True
        for segment in self.segments:
            if segment.durable_size < segment.size:
                with suppress(OSError):
                    segment.truncate(segment.durable_size)
        self.wake()

    def wake(self) -> None:
        """Wake all waiters of this log."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def add_waiter(self, waiter: asyncio.Future[None]) -> None:
        """Complete `waiter` at the next change."""
        self._waiters.add(waiter)

    def drop_waiter(self, waiter: asyncio.Future[None]) -> None:
        """Forget a waiter that has given up."""
        self._waiters.discard(waiter)

    async def durable(self, offset: int) -> None:
        """Wait until everything below `offset` is on disk; raises StorageFailedError when it never will be."""
        while self.high_watermark < offset:
            if self.failed or self.closed:
                raise StorageFailedError(str(self.directory))
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.add_waiter(waiter)
            await waiter

    def checkpoint(self, now: int) -> Checkpoint:
        """Return the checkpoint for the next start; the index is saved with it."""
        # The first segment that is not wholly on disk; mostly the active one, which may be.
        segment = next((s for s in self.segments if s.durable_size < s.size), self.active)
        segment.save_index()
        self.unsaved_bytes = 0
        producers = self.producers.snapshot(now, self.high_watermark)
        return Checkpoint(self.log_start, segment.base_offset, segment.durable_size, producers, self.append_time)

    def close(self) -> None:
        """Close the files and wake waiting producers and consumers."""
        self.closed = True
        for segment in self.segments:
            segment.close()
        self.wake()

    # --- reading -------------------------------------------------------------------------------------------------

    def read(self, offset: int, max_bytes: int, *, min_one_batch: bool) -> bytes:
        """Verbatim batches from the one that holds `offset`; the last may be cut, as the protocol allows.

        With `at_least_one` the first batch comes whole even if it is larger than `max_bytes`; without it nothing
        is returned that a client could not use. Raises OffsetOutOfRangeError.
        """
        if not self.log_start <= offset <= self.high_watermark:
            raise OffsetOutOfRangeError
        for segment in self._from(offset):
            position = segment.locate(offset)
            if position is None:
                continue
            data = segment.read(position, max(max_bytes, _HEADER_BYTES))
            first = read_header(data).size
            if first > len(data) or first > max_bytes:
                return segment.read(position, first) if min_one_batch else b""
            return data
        return b""

    def _from(self, offset: int) -> list[LogSegment]:
        """The segments that can hold `offset` or what comes after it."""
        start = next((index for index, segment in enumerate(self.segments) if segment.next_offset > offset), None)
        return [] if start is None else self.segments[start:]

    def find_time(self, timestamp: int) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record at or after `timestamp` (ms), exact to the record.

        Of a batch whose records do not open, as a faulty producer may send it, only the header is known: its first
        offset and largest timestamp are taken.
        """
        for segment in self._from(self.log_start):
            if segment.read_max_timestamp() < timestamp:
                continue
            for position, header in segment.batches_from_time(timestamp):
                if header.last_offset < self.log_start:
                    continue
                if header.has_log_append_time and header.is_whole:
                    return max(header.base_offset, self.log_start), header.max_timestamp  # one time for all records
                try:
                    for record in walk(header, inflate(header, segment.read(position, header.size))):
                        if record.timestamp >= timestamp and record.offset >= self.log_start:
                            return record.offset, record.timestamp
                except CorruptBatchError:
                    return max(header.base_offset, self.log_start), header.max_timestamp
        return None

    def find_latest_time(self) -> tuple[int, int] | None:
        """(offset, timestamp) of the record with the largest timestamp; the first one, if several share it."""
        latest = max((segment.read_max_timestamp() for segment in self.segments), default=NO_TIMESTAMP)
        return None if latest == NO_TIMESTAMP else self.find_time(latest)

    # --- cutting -------------------------------------------------------------------------------------------------

    def advance_start(self, offset: int) -> list[LogSegment]:
        """Forget the records below `offset`, which are on disk; returns the whole segments that can now be removed.

        Raises OSError, with the log as it was.
        """
        if offset >= self.end_offset:
            self.roll(now_ms())
        self.log_start = max(self.log_start, offset)
        removed: list[LogSegment] = []
        while len(self.segments) > 1 and self.segments[0].next_offset <= self.log_start:
            removed.append(self.segments.pop(0))
        self._unsynced = [segment for segment in self._unsynced if segment not in removed]
        return removed

    def restore_start(self, removed: list[LogSegment], log_start: int) -> None:
        """Undo `advance_start`, whose new start could not be stored."""
        self.segments[:0] = removed
        self.log_start = log_start
