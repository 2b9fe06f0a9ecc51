"""State of a partition's idempotent producers: enough to recognise a batch that it already has.

The protocol's rule: per producer id the epoch and the last five batches; a batch must follow the last one in
sequence, a repeat of one of the five is answered with its first offset, anything else is out of order.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from mmplatform.local.broker.log.batch import NO_APPEND_TIME, BatchHeader

_MAX_BATCHES = 5
_SEQUENCES = 2**31
# Kafka's producer.id.expiration.ms: a producer that is silent for a day is forgotten.
EXPIRY_MS = 24 * 3600 * 1000


class SequenceError(Exception):
    """A batch that may not be appended; `code` is the protocol's error."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(frozen=True, slots=True)
class AppendedBatch:
    """One appended batch: first and last sequence number, first and last offset, and its append time if it has one."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    append_time: int = NO_APPEND_TIME


@dataclass(slots=True)
class _Producer:
    epoch: int
    seen_ms: int
    batches: deque[AppendedBatch] = field(default_factory=lambda: deque(maxlen=_MAX_BATCHES))


class Producers:
    """The idempotent producers of one partition."""

    __slots__ = ("_by_id",)

    def __init__(self) -> None:
        self._by_id: dict[int, _Producer] = {}

    def check(self, header: BatchHeader) -> AppendedBatch | None:
        """None when `header` may be appended, the remembered batch when it is a repeat; raises SequenceError."""
        if header.producer_id < 0:
            return None
        if header.base_sequence < 0 or header.producer_epoch < 0:
            raise SequenceError(ErrorCode.invalid_record)
        producer = self._by_id.get(header.producer_id)
        if producer is None:
            # An unknown producer may start anywhere: its earlier batches may have been deleted by retention.
            return None
        if header.producer_epoch < producer.epoch:
            raise SequenceError(ErrorCode.invalid_producer_epoch)
        if header.producer_epoch > producer.epoch:
            if header.base_sequence != 0:
                raise SequenceError(ErrorCode.out_of_order_sequence_number)
            return None
        return self._find_repeat(producer, header)

    @staticmethod
    def _find_repeat(producer: _Producer, header: BatchHeader) -> AppendedBatch | None:
        last = _last_sequence(header)
        for batch in producer.batches:
            if batch.first_sequence == header.base_sequence and batch.last_sequence == last:
                return batch
        if producer.batches and header.base_sequence != (producer.batches[-1].last_sequence + 1) % _SEQUENCES:
            older = _is_older(header.base_sequence, producer.batches[-1].last_sequence)
            code = ErrorCode.duplicate_sequence_number if older else ErrorCode.out_of_order_sequence_number
            raise SequenceError(code)
        return None

    def record(self, header: BatchHeader, now_ms: int) -> None:
        """Remember an appended batch (its offsets are final)."""
        if header.producer_id < 0:
            return
        producer = self._by_id.get(header.producer_id)
        if producer is None or producer.epoch != header.producer_epoch:
            producer = self._by_id[header.producer_id] = _Producer(header.producer_epoch, now_ms)
        producer.seen_ms = now_ms
        producer.batches.append(
            AppendedBatch(
                header.base_sequence,
                _last_sequence(header),
                header.base_offset,
                header.last_offset,
                header.append_time,
            )
        )

    @property
    def last_offset(self) -> int:
        """The last offset of all remembered batches, or -1."""
        return max(
            (producer.batches[-1].last_offset for producer in self._by_id.values() if producer.batches), default=-1
        )

    def snapshot(self, now_ms: int, below_offset: int) -> str:
        """JSON of the producers heard of within a day, with only the batches below `below_offset`."""
        self._by_id = {pid: producer for pid, producer in self._by_id.items() if now_ms - producer.seen_ms < EXPIRY_MS}
        rows = [
            [
                pid,
                producer.epoch,
                producer.seen_ms,
                [_row(batch) for batch in producer.batches if batch.last_offset < below_offset],
            ]
            for pid, producer in self._by_id.items()
        ]
        return json.dumps([row for row in rows if row[3]], separators=(",", ":"))

    @classmethod
    def restore(cls, snapshot: str) -> Producers:
        """The inverse of `snapshot`."""
        producers = cls()
        for pid, epoch, seen_ms, batches in json.loads(snapshot or "[]"):
            producer = producers._by_id[pid] = _Producer(epoch, seen_ms)
            producer.batches.extend(AppendedBatch(*batch) for batch in batches)
        return producers


def _row(batch: AppendedBatch) -> list[int]:
    row = [batch.first_sequence, batch.last_sequence, batch.base_offset, batch.last_offset]
    return row if batch.append_time == NO_APPEND_TIME else [*row, batch.append_time]


def _last_sequence(header: BatchHeader) -> int:
    return (header.base_sequence + header.last_offset_delta) % _SEQUENCES


def _is_older(sequence: int, last: int) -> bool:
    """Test that `sequence` was passed already, on a circle of 2^31 numbers."""
    return 0 <= (last - sequence) % _SEQUENCES < _SEQUENCES // 2
