"""The records inside a batch, read with kio's primitives: only where an answer depends on a single record.

Needed for offsets by time (exact to the record), for compaction (keys) and to refuse null keys on compacted
topics. Batches are otherwise never opened. kio's own record reader is not used because it cuts timestamps to
whole seconds and copies each value.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kio.serial.errors import SerialError
from kio.serial.readers import read_signed_varint, read_signed_varlong

from mmplatform.local.broker.log.batch import HEADER_SIZE, BatchHeader, CorruptBatchError

if TYPE_CHECKING:
    import pyarrow as pa

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
# Maximum inflated size of one batch; a client that sends more could not be read back by ordinary consumers either.
MAX_INFLATED_BYTES = 256 * 1024 * 1024
_PIECE = 1024 * 1024
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16
_END_OF_TIME = 2**63


@dataclass(frozen=True, slots=True)
class RecordView:
    """One record: absolute offset, timestamp in ms, key, whether it is a tombstone, and where its bytes lie."""

    offset: int
    timestamp: int
    key: bytes | None
    is_tombstone: bool
    start: int
    end: int


def inflate(header: BatchHeader, batch: bytes) -> bytes:
    """The uncompressed record bytes of `batch`; raises CorruptBatchError when they do not decompress."""
    body = batch[HEADER_SIZE:]
    if header.codec == NONE:
        return body
    try:
        plain = _decompress(header.codec, body)
    except (OSError, EOFError, zlib.error, ValueError, SerialError) as error:
        raise CorruptBatchError(f"compressed records do not decompress: {error}") from error
    if len(plain) > MAX_INFLATED_BYTES:
        raise CorruptBatchError(f"the batch inflates to more than {MAX_INFLATED_BYTES} bytes")
    return plain


def walk(header: BatchHeader, body: bytes) -> Iterator[RecordView]:
    """The records of an inflated `body` in order; raises CorruptBatchError where the lengths do not add up."""
    position = 0
    try:
        for _ in range(header.record_count):
            length, size = read_signed_varint(body, position)
            end = position + size + length
            if length < 0 or end > len(body):
                raise CorruptBatchError("a record reaches past its batch")
            yield _record(header, body, position, position + size, end)
            position = end
    except (SerialError, IndexError, ValueError) as error:
        raise CorruptBatchError(f"records do not parse: {error}") from error
    if position != len(body):
        raise CorruptBatchError("bytes are left over after the last record")


def _record(header: BatchHeader, body: bytes, start: int, position: int, end: int) -> RecordView:
    position += 1  # record attributes: unused by the protocol
    delta, size = read_signed_varlong(body, position)
    position += size
    offset_delta, size = read_signed_varint(body, position)
    position += size
    key_length, size = read_signed_varint(body, position)
    position += size
    key = None if key_length < 0 else body[position : position + key_length]
    position += max(key_length, 0)
    value_length, size = read_signed_varint(body, position)
    if position + size + max(value_length, 0) > end:
        raise CorruptBatchError("a key or value reaches past its record")
    timestamp = header.max_timestamp if header.has_log_append_time else header.base_timestamp + delta
    if not -_END_OF_TIME <= timestamp < _END_OF_TIME:
        raise CorruptBatchError("a timestamp of more than 64 bits")
    return RecordView(header.base_offset + offset_delta, timestamp, key, value_length < 0, start, end)


def _decompress(codec: int, body: bytes) -> bytes:
    if codec == GZIP:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            return stream.read(MAX_INFLATED_BYTES + 1)
    # pyarrow brings snappy, lz4 and zstd; it is loaded at the first such batch because it costs 40 MB and 0.2 s.
    import pyarrow as pa

    if codec == SNAPPY:
        return b"".join(_unsnap(pa.Codec("snappy"), block) for block in _snappy_blocks(body))
    if codec in (LZ4, ZSTD):
        with pa.CompressedInputStream(pa.BufferReader(body), "lz4" if codec == LZ4 else "zstd") as stream:
            return b"".join(_pieces(stream))
    raise CorruptBatchError(f"unknown compression codec {codec}")


def _pieces(stream: pa.CompressedInputStream) -> Iterator[bytes]:
    """Up to one piece more than is allowed. Asked for all at once, pyarrow maps that much, and keeps it on an error."""
    left = MAX_INFLATED_BYTES + 1
    while left > 0 and (piece := bytes(stream.read(min(_PIECE, left)))):
        left -= len(piece)
        yield piece


def _unsnap(codec: object, block: bytes) -> bytes:
    size = _unsigned_varint(block)
    if size > MAX_INFLATED_BYTES:
        raise CorruptBatchError(f"the batch inflates to more than {MAX_INFLATED_BYTES} bytes")
    return bytes(codec.decompress(block, decompressed_size=size, asbytes=True))  # type: ignore[attr-defined]


def _unsigned_varint(block: bytes) -> int:
    from kio.serial.readers import read_unsigned_varint

    return read_unsigned_varint(block, 0)[0]


def _snappy_blocks(body: bytes) -> Iterator[bytes]:
    """Java clients frame snappy in length-prefixed blocks (the xerial format); librdkafka sends one bare block."""
    if not body.startswith(_XERIAL_MAGIC):
        yield body
        return
    position = _XERIAL_HEADER
    while position + 4 <= len(body):
        (length,) = struct.unpack_from(">i", body, position)
        position += 4
        if not 0 < length <= len(body) - position:
            raise CorruptBatchError("a snappy block reaches past its batch")
        yield body[position : position + length]
        position += length
