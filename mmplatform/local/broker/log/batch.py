"""The header of a RecordBatch v2: the only byte layout implemented in this package.

A broker stores batches verbatim, so it reads the 61-byte header and rewrites two fields that the checksum does
not cover (base offset, leader epoch). With the broker's append time it rewrites two more and the checksum; the records
stay as they are. Everything else on the wire is read and written by kio.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from crc32c import crc32c

# baseOffset, batchLength, partitionLeaderEpoch, magic, crc, attributes, lastOffsetDelta, baseTimestamp,
# maxTimestamp, producerId, producerEpoch, baseSequence, recordCount
_LAYOUT = struct.Struct(">qiibIhiqqqhii")
_STAMP = struct.Struct(">qii")
HEADER_SIZE = _LAYOUT.size
MAGIC = 2
LEADER_EPOCH = 0
_LENGTH_END = 12  # batchLength counts the bytes after itself
_CRC_OFFSET = 17
_CRC_START = 21  # the checksum covers everything from the attributes on
_CODEC_MASK = 0b111
_LOG_APPEND_TIME = 1 << 3
_TRANSACTIONAL = 1 << 4
_CONTROL = 1 << 5
NO_APPEND_TIME = -1


class CorruptBatchError(ValueError):
    """Bytes that are not one whole RecordBatch v2 with a matching checksum."""


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """The fields of one batch header; offsets are absolute, timestamps are milliseconds since the epoch.

    `crc` is as read: a header that was changed is packed with a checksum of its own.
    """

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch, header included."""
        return self.length + _LENGTH_END

    @property
    def last_offset(self) -> int:
        """The offset of the last record."""
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        """The offset after the last record."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def is_whole(self) -> bool:
        """True if compaction took no record out of the batch: there is one at every offset."""
        return self.record_count == self.last_offset_delta + 1

    @property
    def codec(self) -> int:
        """The number of the compression codec; 0 is none."""
        return self.attributes & _CODEC_MASK

    @property
    def is_transactional(self) -> bool:
        """True if the batch belongs to a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        """True for a control batch of the protocol rather than a client's data."""
        return bool(self.attributes & _CONTROL)

    @property
    def has_log_append_time(self) -> bool:
        """True if all records have the broker's append time."""
        return bool(self.attributes & _LOG_APPEND_TIME)

    @property
    def append_time(self) -> int:
        """The append time (ms) of all records; NO_APPEND_TIME where they have their producer's times."""
        return self.max_timestamp if self.has_log_append_time else NO_APPEND_TIME

    def with_base_offset(self, base_offset: int) -> BatchHeader:
        """Return the header with `base_offset`."""
        return replace(self, base_offset=base_offset, leader_epoch=LEADER_EPOCH)


def read_header(data: bytes | memoryview, position: int = 0) -> BatchHeader:
    """Read the header at `position`; raises CorruptBatchError when the bytes cannot start a batch."""
    if len(data) - position < HEADER_SIZE:
        raise CorruptBatchError("fewer bytes than a batch header")
    header = BatchHeader(*_LAYOUT.unpack_from(data, position))
    if header.magic != MAGIC:
        raise CorruptBatchError(f"magic byte {header.magic}; only RecordBatch v2 is stored")
    if header.size < HEADER_SIZE or header.last_offset_delta < 0 or header.record_count < 0:
        raise CorruptBatchError("a negative length or count")
    return header


def checksum_matches(batch: bytes | memoryview, header: BatchHeader) -> bool:
    """Check the stored CRC32C against the bytes; `batch` is exactly one batch."""
    return len(batch) == header.size and int(crc32c(memoryview(batch)[_CRC_START:])) == header.crc


def check(batch: bytes) -> BatchHeader:
    """The header of `batch` when it is exactly one sound batch; raises CorruptBatchError otherwise."""
    header = read_header(batch)
    if header.size != len(batch):
        raise CorruptBatchError(f"{len(batch)} bytes where the header says {header.size}")
    if not checksum_matches(batch, header):
        raise CorruptBatchError("checksum mismatch")
    return header


def stamped(
    batch: bytes, header: BatchHeader, base_offset: int, append_time: int
) -> tuple[BatchHeader, tuple[bytes, memoryview]]:
    """Header and bytes of `batch` as it is stored: two buffers, so that the body is not copied.

    `append_time` becomes the time of all records; with NO_APPEND_TIME each has its producer's, also in a batch that
    claims an append time: only a broker gives one. Both are Kafka's rules.
    """
    if append_time == NO_APPEND_TIME and not header.has_log_append_time:
        return header.with_base_offset(base_offset), (
            _STAMP.pack(base_offset, header.length, LEADER_EPOCH),
            memoryview(batch)[_STAMP.size :],
        )
    has_time = append_time != NO_APPEND_TIME
    positioned = replace(
        header,
        base_offset=base_offset,
        leader_epoch=LEADER_EPOCH,
        attributes=header.attributes & ~_LOG_APPEND_TIME | (_LOG_APPEND_TIME if has_time else 0),
        max_timestamp=append_time if has_time else header.max_timestamp,
    )
    body = memoryview(batch)[HEADER_SIZE:]
    return positioned, (_packed(positioned, body), body)


def rebuilt(header: BatchHeader, body: bytes, record_count: int, max_timestamp: int) -> bytes:
    """A batch with the offsets and the producer of `header` around the uncompressed records in `body`."""
    new = replace(
        header,
        length=len(body) + HEADER_SIZE - _LENGTH_END,
        leader_epoch=LEADER_EPOCH,
        attributes=header.attributes & ~_CODEC_MASK,
        max_timestamp=max_timestamp,
        record_count=record_count,
    )
    return _packed(new, body) + body


def _packed(header: BatchHeader, body: bytes | memoryview) -> bytes:
    """The bytes of `header`, with the checksum of itself and `body`."""
    packed = bytearray(
        _LAYOUT.pack(
            header.base_offset,
            header.length,
            header.leader_epoch,
            header.magic,
            0,
            header.attributes,
            header.last_offset_delta,
            header.base_timestamp,
            header.max_timestamp,
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.record_count,
        )
    )
    struct.pack_into(">I", packed, _CRC_OFFSET, crc32c(body, crc32c(memoryview(packed)[_CRC_START:])))
    return bytes(packed)
