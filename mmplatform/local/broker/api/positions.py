"""Positions in a log: offsets by name and by time, deletion from the front, and ends of leader epochs."""

from __future__ import annotations

from kio.schema.delete_records.v2.request import DeleteRecordsRequest
from kio.schema.delete_records.v2.response import (
    DeleteRecordsPartitionResult,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)
from kio.schema.errors import ErrorCode
from kio.schema.list_offsets.v7.request import ListOffsetsPartition, ListOffsetsRequest
from kio.schema.list_offsets.v7.response import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from kio.schema.offset_for_leader_epoch.v4.request import OffsetForLeaderEpochRequest, OffsetForLeaderPartition
from kio.schema.offset_for_leader_epoch.v4.response import (
    EpochEndOffset,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)
from kio.schema.types import TopicName
from kio.static.primitive import i32, i64

from mmplatform.local.broker.api.call import NO_THROTTLE, Call
from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.log.batch import LEADER_EPOCH, CorruptBatchError
from mmplatform.local.broker.log.partition import PartitionLog
from mmplatform.local.broker.node import Node

_LATEST, _EARLIEST, _MAX_TIMESTAMP = -1, -2, -3


async def list_offsets(node: Node, _call: Call, request: ListOffsetsRequest) -> ListOffsetsResponse:
    """Return the offset for each requested timestamp, exact to the record."""
    topics = tuple(
        ListOffsetsTopicResponse(
            name=topic.name,
            partitions=tuple(_offset(node, topic.name, wanted) for wanted in topic.partitions),
        )
        for topic in request.topics
    )
    return ListOffsetsResponse(throttle_time=NO_THROTTLE, topics=topics)


def _offset(node: Node, topic: TopicName, wanted: ListOffsetsPartition) -> ListOffsetsPartitionResponse:
    log = node.catalog.partition(topic, wanted.partition_index)
    if log is None:
        return _listed(wanted, ErrorCode.unknown_topic_or_partition, None)
    if wanted.current_leader_epoch > LEADER_EPOCH:
        return _listed(wanted, ErrorCode.unknown_leader_epoch, None)
    try:
        return _listed(wanted, ErrorCode.none, _find(log, wanted.timestamp))
    except CorruptBatchError:
        return _listed(wanted, ErrorCode.corrupt_message, None)
    except OSError:
        return _listed(wanted, ErrorCode.kafka_storage_error, None)


def _find(log: PartitionLog, timestamp: int) -> tuple[int, int] | None:
    if timestamp == _LATEST:
        return log.high_watermark, -1
    if timestamp == _EARLIEST:
        return log.log_start, -1
    if timestamp == _MAX_TIMESTAMP:
        return log.find_latest_time()
    return log.find_time(timestamp)


def _listed(
    wanted: ListOffsetsPartition, error: ErrorCode, found: tuple[int, int] | None
) -> ListOffsetsPartitionResponse:
    offset, timestamp = found or (-1, -1)
    return ListOffsetsPartitionResponse(
        partition_index=wanted.partition_index,
        error_code=error,
        timestamp=i64(timestamp),
        offset=i64(offset),
        leader_epoch=i32(LEADER_EPOCH if found else -1),
    )


async def delete_records(node: Node, _call: Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse:
    """Cut partitions at the front; on disk before this answers."""
    topics = []
    for topic in request.topics:
        partitions = [
            await _delete(node, topic.name, wanted.partition_index, wanted.offset) for wanted in topic.partitions
        ]
        topics.append(DeleteRecordsTopicResult(name=topic.name, partitions=tuple(partitions)))
    return DeleteRecordsResponse(throttle_time=NO_THROTTLE, topics=tuple(topics))


async def _delete(node: Node, name: TopicName, number: i32, offset: int) -> DeleteRecordsPartitionResult:
    topic, log = node.catalog.get(name), node.catalog.partition(name, number)
    if topic is None or log is None:
        return _deleted(number, ErrorCode.unknown_topic_or_partition, -1)
    if not topic.config.deletes:
        return _deleted(number, ErrorCode.policy_violation, -1)
    before = log.high_watermark if offset == -1 else offset
    if not 0 <= before <= log.high_watermark:
        return _deleted(number, ErrorCode.offset_out_of_range, -1)
    try:
        await node.catalog.advance_start(topic, number, before)
    except (OSError, StorageFailedError):
        return _deleted(number, ErrorCode.kafka_storage_error, -1)
    return _deleted(number, ErrorCode.none, log.log_start)


def _deleted(number: i32, error: ErrorCode, low: int) -> DeleteRecordsPartitionResult:
    return DeleteRecordsPartitionResult(partition_index=number, low_watermark=i64(low), error_code=error)


async def offset_for_leader_epoch(
    node: Node, _call: Call, request: OffsetForLeaderEpochRequest
) -> OffsetForLeaderEpochResponse:
    """Return the end of a leader epoch; there is only one."""
    topics = tuple(
        OffsetForLeaderTopicResult(
            topic=topic.topic,
            partitions=tuple(_epoch_end(node, topic.topic, wanted) for wanted in topic.partitions),
        )
        for topic in request.topics
    )
    return OffsetForLeaderEpochResponse(throttle_time=NO_THROTTLE, topics=topics)


def _epoch_end(node: Node, topic: TopicName, wanted: OffsetForLeaderPartition) -> EpochEndOffset:
    log = node.catalog.partition(topic, wanted.partition)
    if log is None:
        return EpochEndOffset(error_code=ErrorCode.unknown_topic_or_partition, partition=wanted.partition)
    if wanted.leader_epoch != LEADER_EPOCH:
        return EpochEndOffset(error_code=ErrorCode.none, partition=wanted.partition)
    return EpochEndOffset(
        error_code=ErrorCode.none,
        partition=wanted.partition,
        leader_epoch=i32(LEADER_EPOCH),
        end_offset=i64(log.high_watermark),
    )
