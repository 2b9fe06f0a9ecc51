"""Produce: batches onto the log, acknowledged when they are on disk (acks=all)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from kio.schema.errors import ErrorCode
from kio.schema.produce.v9.request import PartitionProduceData, ProduceRequest
from kio.schema.produce.v9.response import PartitionProduceResponse, ProduceResponse, TopicProduceResponse
from kio.schema.types import TopicName
from kio.static.primitive import i32, i64

from mmplatform.local.broker.api.call import NO_THROTTLE, Call
from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.log.batch import NO_APPEND_TIME, BatchHeader, CorruptBatchError, check
from mmplatform.local.broker.log.partition import PartitionLog
from mmplatform.local.broker.log.producers import SequenceError
from mmplatform.local.broker.log.records import inflate, walk
from mmplatform.local.broker.node import Node

if TYPE_CHECKING:
    from kio.static.primitive import TZAware

_ALL = -1
_ACKS = frozenset({0, 1, _ALL})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Appended:
    """Position of an appended batch; it is on disk when everything below `end_offset` is."""

    log: PartitionLog
    base_offset: int
    end_offset: int
    append_time: int


class _RefusedError(Exception):
    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


async def produce(node: Node, _call: Call, request: ProduceRequest) -> ProduceResponse | None:
    """Append each partition's batch in the order of the request; None (no answer) for acks=0.

    Everything up to the first await runs in the order in which requests arrived: that is what keeps the order of
    a producer that has several requests under way.
    """
    appended = [
        (topic, [_append(node, request, topic.name, data) for data in topic.partition_data])
        for topic in request.topic_data
    ]
    if request.acks == _ALL:
        waiting: list[Awaitable[None]] = [
            accepted.log.durable(accepted.end_offset) for _, outcomes in appended for accepted in _accepted(outcomes)
        ]
        if len(waiting) == 1:
            await _quietly(waiting[0])
        else:
            await asyncio.gather(*(_quietly(flush) for flush in waiting))
    if request.acks == 0:
        return None
    responses = tuple(
        TopicProduceResponse(
            name=topic.name,
            partition_responses=tuple(
                _answer(data.index, outcome, durable=request.acks == _ALL)
                for data, outcome in zip(topic.partition_data, outcomes, strict=True)
            ),
        )
        for topic, outcomes in appended
    )
    return ProduceResponse(responses=responses, throttle_time=NO_THROTTLE)


def _accepted(outcomes: list[_Appended | _RefusedError]) -> list[_Appended]:
    return [outcome for outcome in outcomes if not isinstance(outcome, _RefusedError)]


async def _quietly(waiting: Awaitable[None]) -> None:
    """A storage failure is read off the log afterwards, for each partition by itself."""
    try:
        await waiting
    except StorageFailedError:
        return


def _append(
    node: Node, request: ProduceRequest, topic: TopicName, data: PartitionProduceData
) -> _Appended | _RefusedError:
    try:
        if request.acks not in _ACKS:
            raise _RefusedError(ErrorCode.invalid_required_acks, f"acks={request.acks}")
        log = node.catalog.partition(topic, data.index)
        if log is None:
            raise _RefusedError(ErrorCode.unknown_topic_or_partition, "no such topic or partition")
        batch = bytes(data.records or b"")
        header = _checked(log, batch)
        repeat = log.producers.check(header)
        if repeat is not None:
            return _Appended(log, repeat.base_offset, repeat.last_offset + 1, repeat.append_time)
        appended = log.append(batch, header)
    except _RefusedError as refusal:
        return refusal
    except SequenceError as error:
        return _RefusedError(error.code, "the batch does not follow the producer's last one")
    except StorageFailedError as error:
        return _RefusedError(ErrorCode.kafka_storage_error, str(error))
    node.flusher.request(log)
    return _Appended(log, appended.base_offset, appended.next_offset, appended.append_time)


def _checked(log: PartitionLog, batch: bytes) -> BatchHeader:
    limit = log.config.max_message_bytes
    if len(batch) > limit:
        raise _RefusedError(ErrorCode.message_too_large, f"the batch has {len(batch)} bytes; max.message.bytes={limit}")
    try:
        header = check(batch)
        if header.is_transactional or header.is_control:
            raise _RefusedError(ErrorCode.invalid_record, "transactions are not supported by the embedded broker")
        if header.record_count < 1 or header.last_offset_delta != header.record_count - 1:
            raise _RefusedError(ErrorCode.invalid_record, "the batch does not count its records right")
        if log.config.compacts and any(record.key is None for record in walk(header, inflate(header, batch))):
            raise _RefusedError(ErrorCode.invalid_record, "a compacted topic needs a key in every record")
    except CorruptBatchError as error:
        raise _RefusedError(ErrorCode.corrupt_message, str(error)) from error
    return header


def _answer(index: i32, outcome: _Appended | _RefusedError, *, durable: bool) -> PartitionProduceResponse:
    if isinstance(outcome, _RefusedError):
        return _refused(index, outcome)
    if durable and outcome.log.high_watermark < outcome.end_offset:
        return _refused(index, _RefusedError(ErrorCode.kafka_storage_error, "the disk refused the flush"))
    return PartitionProduceResponse(
        index=index,
        error_code=ErrorCode.none,
        base_offset=i64(outcome.base_offset),
        log_append_time=_time(outcome.append_time),
        log_start_offset=i64(outcome.log.log_start),
        record_errors=(),
    )


def _time(append_time: int) -> TZAware | None:
    """The append time for kio, which writes None as -1: the records have their producer's times."""
    if append_time == NO_APPEND_TIME:
        return None
    # Cast, since kio's own constructor cuts to whole seconds; its writer is exact to the millisecond.
    return cast("TZAware", _EPOCH + timedelta(milliseconds=append_time))


def _refused(index: i32, refusal: _RefusedError) -> PartitionProduceResponse:
    return PartitionProduceResponse(
        index=index, error_code=refusal.code, base_offset=i64(-1), record_errors=(), error_message=str(refusal)
    )
