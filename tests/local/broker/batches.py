"""RecordBatches as a producer would send them, for tests below the protocol."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from crc32c import crc32c
from kio.records.schema import NewRecordBatch, Record
from kio.records.writers import write_new_batch
from kio.static.primitive import TZAwareMicros, i8, i16, i32, i64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def batch(
    values: Sequence[bytes | None],
    *,
    keys: Sequence[bytes] | None = None,
    timestamp: int = 1_600_000_000_000,
    step: int = 0,
    producer: tuple[int, int, int] = (-1, -1, -1),
) -> bytes:
    """One batch.

    `timestamp` in ms, rising by `step` (multiples of 125: kio cuts what a float cannot hold);
    `producer` is (id, epoch, first sequence)."""
    records = tuple(
        Record(
            attributes=i8(0),
            timestamp=TZAwareMicros.parse(_EPOCH + timedelta(milliseconds=timestamp + at * step)),
            offset=i64(at),
            key=keys[at] if keys else None,
            value=value,
            headers=(),
        )
        for at, value in enumerate(values)
    )
    producer_id, epoch, sequence = producer
    buffer = io.BytesIO()
    write_new_batch(
        buffer,
        NewRecordBatch(
            producer_id=i64(producer_id),
            producer_epoch=i16(epoch),
            base_sequence=i32(sequence),
            records=records,
            attributes=i16(0),
        ),
    )
    return buffer.getvalue()


def garbled(codec, body):
    """A batch whose header and checksum are right, around bytes that its codec did not make."""
    data = bytearray(batch([b"a"], keys=[b"k"])[:61] + body)
    struct.pack_into(">i", data, 8, len(data) - 12)
    struct.pack_into(">h", data, 21, codec)
    struct.pack_into(">I", data, 17, crc32c(bytes(data[21:])))
    return bytes(data)
