"""What one partition remembers of idempotent producers: enough to recognise a batch that it already has.

The protocol's rule: per producer id the epoch and the last five batches; a batch must follow the last one in
sequence, a repeat of one of the five is answered with its first offset, anything else is out of order.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from mmplatform.local.broker.log.batch import BatchHeader

_REMEMBERED = 5
_SEQUENCES = 2**31
# Kafka's producer.id.expiration.ms: a producer that is silent for a day is forgotten.
EXPIRY_MS = 24 * 3600 * 1000


class SequenceError(Exception):
    """A batch that may not be appended; `code` is the protocol's error."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(frozen=True, slots=True)
class Remembered:
    """One appended batch: first and last sequence number, first and last offset."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int


@dataclass(slots=True)
class _Producer:
    epoch: int
    seen_ms: int
    batches: deque[Remembered] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class Producers:
    """The idempotent producers of one partition."""

    __slots__ = ("_by_id",)

    def __init__(self) -> None:
        self._by_id: dict[int, _Producer] = {}

    def check(self, header: BatchHeader) -> Remembered | None:
        """None when `header` may be appended, the remembered batch when it is a repeat; raises SequenceError."""
        if header.producer_id < 0:
            return None
        if header.base_sequence < 0 or header.producer_epoch < 0:
            raise SequenceError(ErrorCode.invalid_record)
        known = self._by_id.get(header.producer_id)
        if known is None:
            # An unknown producer may start anywhere: its earlier batches may have been deleted by retention.
            return None
        if header.producer_epoch < known.epoch:
            raise SequenceError(ErrorCode.invalid_producer_epoch)
        if header.producer_epoch > known.epoch:
            if header.base_sequence != 0:
                raise SequenceError(ErrorCode.out_of_order_sequence_number)
            return None
        return self._place(known, header)

    @staticmethod
    def _place(known: _Producer, header: BatchHeader) -> Remembered | None:
        last = _last_sequence(header)
        for batch in known.batches:
            if batch.first_sequence == header.base_sequence and batch.last_sequence == last:
                return batch
        if known.batches and header.base_sequence != (known.batches[-1].last_sequence + 1) % _SEQUENCES:
            older = _is_behind(header.base_sequence, known.batches[-1].last_sequence)
            code = ErrorCode.duplicate_sequence_number if older else ErrorCode.out_of_order_sequence_number
            raise SequenceError(code)
        return None

    def record(self, header: BatchHeader, now_ms: int) -> None:
        """Remember an appended batch (its offsets are final)."""
        if header.producer_id < 0:
            return
        known = self._by_id.get(header.producer_id)
        if known is None or known.epoch != header.producer_epoch:
            known = self._by_id[header.producer_id] = _Producer(header.producer_epoch, now_ms)
        known.seen_ms = now_ms
        known.batches.append(
            Remembered(header.base_sequence, _last_sequence(header), header.base_offset, header.last_offset)
        )

    @property
    def last_offset(self) -> int:
        """The last offset of all remembered batches, or -1."""
        return max((known.batches[-1].last_offset for known in self._by_id.values() if known.batches), default=-1)

    def snapshot(self, now_ms: int, below_offset: int) -> str:
        """JSON of the producers heard of within a day, with only the batches below `below_offset`."""
        self._by_id = {pid: known for pid, known in self._by_id.items() if now_ms - known.seen_ms < EXPIRY_MS}
        rows = [
            [
                pid,
                known.epoch,
                known.seen_ms,
                [
                    [b.first_sequence, b.last_sequence, b.base_offset, b.last_offset]
                    for b in known.batches
                    if b.last_offset < below_offset
                ],
            ]
            for pid, known in self._by_id.items()
        ]
        return json.dumps([row for row in rows if row[3]], separators=(",", ":"))

    @classmethod
    def restore(cls, snapshot: str) -> Producers:
        """The inverse of `snapshot`."""
        producers = cls()
        for pid, epoch, seen_ms, batches in json.loads(snapshot or "[]"):
            known = producers._by_id[pid] = _Producer(epoch, seen_ms)
            known.batches.extend(Remembered(*batch) for batch in batches)
        return producers


def _last_sequence(header: BatchHeader) -> int:
    return (header.base_sequence + header.last_offset_delta) % _SEQUENCES


def _is_behind(sequence: int, last: int) -> bool:
    """Whether `sequence` was passed already, on a circle of 2^31 numbers."""
    return 0 <= (last - sequence) % _SEQUENCES < _SEQUENCES // 2
