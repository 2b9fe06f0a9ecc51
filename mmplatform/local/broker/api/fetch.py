"""Fetch: verbatim batches from the log, waiting a while when there are too few bytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kio.schema.errors import ErrorCode
from kio.schema.fetch.v12.request import FetchPartition, FetchRequest
from kio.schema.fetch.v12.response import FetchableTopicResponse, FetchResponse, PartitionData
from kio.static.primitive import Records, i32, i64

from mmplatform.local.broker.api.call import NO_THROTTLE, Call
from mmplatform.local.broker.log.batch import LEADER_EPOCH
from mmplatform.local.broker.log.partition import OffsetOutOfRangeError, PartitionLog
from mmplatform.local.broker.node import Node

# A client may ask to wait for weeks; it is answered empty before, and asks again.
_MAX_WAIT_S = 60.0
_MAX_RESPONSE_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class _Round:
    """Result of reading all partitions of a request once."""

    topics: list[FetchableTopicResponse]
    size: int
    has_error: bool
    logs: list[PartitionLog]


async def fetch(node: Node, _call: Call, request: FetchRequest) -> FetchResponse:
    """Answer as soon as there are min_bytes or an error, or when max_wait is over."""
    if request.session_id != 0:
        # Sessions are not supported: the client falls back to full requests.
        return _response([], ErrorCode.fetch_session_id_not_found)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(request.max_wait.total_seconds(), _MAX_WAIT_S)
    while True:
        found = _read_round(node, request)
        remaining_s = deadline - loop.time()
        if found.size >= request.min_bytes or found.has_error or remaining_s <= 0:
            return _response(found.topics, ErrorCode.none)
        await _wait(found.logs, remaining_s)


def _response(topics: list[FetchableTopicResponse], error: ErrorCode) -> FetchResponse:
    return FetchResponse(throttle_time=NO_THROTTLE, error_code=error, responses=tuple(topics))


async def _wait(logs: list[PartitionLog], timeout_s: float) -> None:
    """Sleep until one of the logs changes, or the timeout ends."""
    loop = asyncio.get_running_loop()
    news: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(timeout_s, _announce, news)
    for log in logs:
        log.add_waiter(news)
    try:
        await news
    finally:
        timer.cancel()
        for log in logs:
            log.drop_waiter(news)


def _announce(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)


def _read_round(node: Node, request: FetchRequest) -> _Round:
    found = _Round([], 0, has_error=False, logs=[])
    limit = min(request.max_bytes, _MAX_RESPONSE_BYTES)
    for topic in request.topics:
        partitions = []
        for wanted in topic.partitions:
            log = node.catalog.partition(topic.topic, wanted.partition)
            answer = _read(log, wanted, limit - found.size, first=found.size == 0)
            if log is not None:
                found.logs.append(log)
            found.size += len(answer.records or b"")
            found.has_error |= answer.error_code is not ErrorCode.none
            partitions.append(answer)
        found.topics.append(FetchableTopicResponse(topic=topic.topic, partitions=tuple(partitions)))
    return found


def _read(log: PartitionLog | None, wanted: FetchPartition, room: int, *, first: bool) -> PartitionData:
    if log is None or log.closed:
        return _refused(wanted, ErrorCode.unknown_topic_or_partition)
    if wanted.current_leader_epoch > LEADER_EPOCH:
        return _refused(wanted, ErrorCode.unknown_leader_epoch)
    try:
        limit = min(room, wanted.partition_max_bytes)
        # The first partition with data gives at least one batch, however large: a consumer must not get stuck.
        data = log.read(wanted.fetch_offset, limit, min_one_batch=first) if first or limit > 0 else b""
    except OffsetOutOfRangeError:
        return _refused(wanted, ErrorCode.offset_out_of_range, log)
    except OSError:
        return _refused(wanted, ErrorCode.kafka_storage_error, log)
    return _partition(wanted.partition, ErrorCode.none, log, data)


def _refused(wanted: FetchPartition, error: ErrorCode, log: PartitionLog | None = None) -> PartitionData:
    return _partition(wanted.partition, error, log, b"")


def _partition(number: i32, error: ErrorCode, log: PartitionLog | None, data: bytes) -> PartitionData:
    end = -1 if log is None else log.high_watermark
    return PartitionData(
        partition_index=number,
        error_code=error,
        high_watermark=i64(end),
        last_stable_offset=i64(end),
        log_start_offset=i64(-1 if log is None else log.log_start),
        aborted_transactions=None,
        records=Records(data),
    )
