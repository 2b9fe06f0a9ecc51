"""Log segment: a file of complete batches, named by its first offset, with a sparse index file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import structlog

from mmplatform.local.broker.log.batch import (
    HEADER_SIZE,
    NO_APPEND_TIME,
    BatchHeader,
    CorruptBatchError,
    checksum_matches,
    read_header,
)
from mmplatform.local.broker.log.index import SparseIndex

_log = structlog.get_logger(__name__)
LOG_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
_CHUNK = 64 * 1024
NO_TIMESTAMP = -1


class LogSegment:
    """The batches from `base_offset` up to the next segment; only the last segment of a log is written.

    `size` counts the bytes appended, `durable_size` those known to be on disk: readers stop there. `append_time` is the
    newest append time (ms) among the batches noted since the segment was opened.
    """

    __slots__ = (
        "_fd",
        "_index",
        "append_time",
        "base_offset",
        "created_ms",
        "directory_synced",
        "durable_size",
        "max_timestamp",
        "next_offset",
        "path",
        "size",
    )

    def __init__(self, directory: Path, base_offset: int, *, next_offset: int, size: int, created_ms: int) -> None:
        self.path = directory / f"{base_offset:020d}{LOG_SUFFIX}"
        self.base_offset = base_offset
        self.next_offset = next_offset
        self.size = size
        self.durable_size = size
        self.created_ms = created_ms
        self.max_timestamp = NO_TIMESTAMP
        self.append_time = NO_APPEND_TIME
        self.directory_synced = True
        self._index: SparseIndex | None = None
        self._fd = -1

    @classmethod
    def create(cls, directory: Path, base_offset: int, now_ms: int) -> LogSegment:
        """A new, empty segment with its file, so that the end offset outlives the segments before it."""
        segment = cls(directory, base_offset, next_offset=base_offset, size=0, created_ms=now_ms)
        segment.path.touch()
        segment.directory_synced = False
        segment._index = SparseIndex()
        return segment

    @property
    def index_path(self) -> Path:
        """Path of the index file."""
        return self.path.with_suffix(INDEX_SUFFIX)

    # --- writing -------------------------------------------------------------------------------------------------

    def append(self, parts: tuple[bytes, memoryview], header: BatchHeader) -> None:
        """Write one batch at the end; raises OSError and leaves the segment as it was when the disk refuses."""
        fd = self.writer()
        wanted = header.size
        try:
            written = os.pwritev(fd, parts, self.size)
            if written != wanted:
                raise OSError(f"short write: {written} of {wanted} bytes")
        except OSError:
            os.ftruncate(fd, self.size)
            raise
        self.note(header, self.size)
        self.size += wanted

    def writer(self) -> int:
        """The file descriptor for appending and syncing, opened on first use."""
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._fd

    def close(self) -> None:
        """Give the descriptor back and save the index."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.save_index()

    def save_index(self) -> None:
        """Write the index entries that its file lacks; a disk that refuses costs only the time to build it again."""
        if self._index is None:
            return
        try:
            self._index.save(self.index_path)
        except OSError as error:
            _log.warning("index_not_saved", segment=str(self.path), error=str(error))

    def sync(self) -> None:
        """Sync the file: a broker that was killed may have left its end only in the system's cache."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, on disk before this returns."""
        fd = self.writer()
        os.ftruncate(fd, size)
        os.fsync(fd)
        self.size = self.durable_size = size

    def remove(self) -> None:
        """Remove the files."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.index_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def replace(self, path: Path, size: int) -> None:
        """Replace this closed segment's file by the compacted one at `path`; the index is rebuilt when needed."""
        self.close()
        self.index_path.unlink(missing_ok=True)
        path.replace(self.path)
        self.size = self.durable_size = size
        self._index = None

    def note(self, header: BatchHeader, position: int) -> None:
        """Add a batch at `position` to the index and the largest timestamp."""
        if self._index is None:
            self._index = SparseIndex()
        self._index.add(header.base_offset, position, self.max_timestamp)
        self.max_timestamp = max(self.max_timestamp, header.max_timestamp)
        self.append_time = max(self.append_time, header.append_time)
        self.next_offset = header.next_offset

    # --- reading -------------------------------------------------------------------------------------------------

    def read(self, position: int, count: int) -> bytes:
        """Up to `count` durable bytes from `position`."""
        count = min(count, self.durable_size - position)
        if count <= 0:
            return b""
        if self._fd >= 0:
            return os.pread(self._fd, count, position)
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, count, position)
        finally:
            os.close(fd)

    def batches(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, BatchHeader]]:
        """(position, header) of the whole batches from `start` on; stops at the first that does not fit."""
        end = self.durable_size if end is None else end
        position, chunk, chunk_start = start, b"", start
        while position + HEADER_SIZE <= end:
            if position + HEADER_SIZE > chunk_start + len(chunk):
                chunk, chunk_start = self.read(position, _CHUNK), position
                if len(chunk) < HEADER_SIZE:
                    return
            try:
                header = read_header(chunk, position - chunk_start)
            except CorruptBatchError:
                return
            if position + header.size > end:
                return
            yield position, header
            position += header.size

    def valid_batches(self, start: int) -> Iterator[tuple[int, BatchHeader]]:
        """Like `batches`, but each batch has a matching checksum and rising offsets: what recovery may keep."""
        expected = self.base_offset
        for position, header in self.batches(start):
            if header.base_offset < expected or not checksum_matches(self.read(position, header.size), header):
                return
            expected = header.next_offset
            yield position, header

    def locate(self, offset: int) -> int | None:
        """The position of the first batch that reaches `offset`, or None when this segment ends before it."""
        for position, header in self.batches(self._loaded().position_for(offset)):
            if header.last_offset >= offset:
                return position
        return None

    def batches_from_time(self, timestamp: int) -> Iterator[tuple[int, BatchHeader]]:
        """The batches, in log order, that hold a record at or after `timestamp` (ms)."""
        start = self._loaded().position_before_time(timestamp)
        return ((position, header) for position, header in self.batches(start) if header.max_timestamp >= timestamp)

    def read_max_timestamp(self) -> int:
        """The largest record timestamp (ms), or NO_TIMESTAMP for an empty segment."""
        self._loaded()
        return self.max_timestamp

    def open_index(self, limit: int) -> int:
        """Load the index below `limit` bytes; the position from which batches must still be noted."""
        self._index = SparseIndex.load(self.index_path, self.base_offset, limit)
        last = self._index.last()
        if last and next((h.base_offset for _, h in self.batches(last[1])), None) != last[0]:
            self._index, last = SparseIndex(), None
        self.max_timestamp = last[2] if last else NO_TIMESTAMP
        return last[1] if last else 0

    def _loaded(self) -> SparseIndex:
        if self._index is None:
            next_offset = self.next_offset
            for position, header in self.batches(self.open_index(self.size)):
                self.note(header, position)
            # A closed segment ends where the next begins, whatever compaction took from its tail.
            self.next_offset = next_offset
        assert self._index is not None  # noqa: S101 - open_index has just set it
        return self._index
