"""Committed offsets: commit, fetch, delete."""

from __future__ import annotations

from itertools import groupby

from kio.schema.errors import ErrorCode
from kio.schema.offset_commit.v8.request import OffsetCommitRequest
from kio.schema.offset_commit.v8.response import (
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from kio.schema.offset_delete.v0.request import OffsetDeleteRequest
from kio.schema.offset_delete.v0.response import (
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from kio.schema.offset_fetch.v7.request import OffsetFetchRequest
from kio.schema.offset_fetch.v7.response import (
    OffsetFetchResponse,
    OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
)
from kio.schema.types import TopicName
from kio.static.primitive import i32, i64

from mmplatform.local.broker.api.call import NO_THROTTLE, Call
from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.groups.offsets import CommittedOffset, TopicPartition
from mmplatform.local.broker.node import Node

# Kafka's offset.metadata.max.bytes
_MAX_METADATA = 4096


async def offset_commit(node: Node, _call: Call, request: OffsetCommitRequest) -> OffsetCommitResponse:
    """Commit what can be committed; answered when it is on disk."""
    errors: dict[TopicPartition, ErrorCode] = {}
    positions: dict[TopicPartition, CommittedOffset] = {}
    for topic in request.topics:
        for partition in topic.partitions:
            topic_partition = (topic.name, partition.partition_index)
            if node.catalog.partition(topic.name, partition.partition_index) is None:
                errors[topic_partition] = ErrorCode.unknown_topic_or_partition
            elif len(partition.committed_metadata or "") > _MAX_METADATA:
                errors[topic_partition] = ErrorCode.offset_metadata_too_large
            else:
                positions[topic_partition] = CommittedOffset(
                    partition.committed_offset, partition.committed_leader_epoch, partition.committed_metadata
                )
    error = await node.coordinator.commit(
        request.group_id, request.member_id, request.group_instance_id, request.generation_id_or_member_epoch, positions
    )
    topics = tuple(
        OffsetCommitResponseTopic(
            name=topic.name,
            partitions=tuple(
                OffsetCommitResponsePartition(
                    partition_index=partition.partition_index,
                    error_code=errors.get((topic.name, partition.partition_index), error),
                )
                for partition in topic.partitions
            ),
        )
        for topic in request.topics
    )
    return OffsetCommitResponse(throttle_time=NO_THROTTLE, topics=topics)


async def offset_fetch(node: Node, _call: Call, request: OffsetFetchRequest) -> OffsetFetchResponse:
    """The committed offsets asked for (null: all); -1 where nothing was committed."""
    committed = node.offsets.for_group(request.group_id)
    if request.topics is None:
        wanted = [
            (TopicName(name), tuple(i32(number) for _, number in partitions))
            for name, partitions in groupby(sorted(committed), key=lambda partition: partition[0])
        ]
    else:
        wanted = [(topic.name, topic.partition_indexes) for topic in request.topics]
    topics = tuple(
        OffsetFetchResponseTopic(name=name, partitions=tuple(_fetched(n, committed.get((name, n))) for n in numbers))
        for name, numbers in wanted
    )
    return OffsetFetchResponse(throttle_time=NO_THROTTLE, topics=topics)


def _fetched(number: i32, committed: CommittedOffset | None) -> OffsetFetchResponsePartition:
    position = committed or CommittedOffset(-1, -1, "")
    return OffsetFetchResponsePartition(
        partition_index=number,
        committed_offset=i64(position.offset),
        committed_leader_epoch=i32(position.leader_epoch),
        metadata=position.metadata,
        error_code=ErrorCode.none,
    )


async def offset_delete(node: Node, _call: Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse:
    """Forget committed offsets, except of topics that the group still reads."""
    group = node.coordinator.get(request.group_id)
    if group is None:
        return OffsetDeleteResponse(error_code=ErrorCode.group_id_not_found, throttle_time=NO_THROTTLE, topics=())
    subscribed = group.subscribed_topics()
    if group.members and group.protocol_type != "consumer":
        return OffsetDeleteResponse(error_code=ErrorCode.non_empty_group, throttle_time=NO_THROTTLE, topics=())
    topics = []
    for topic in request.topics:
        error = ErrorCode.group_subscribed_to_topic if topic.name in subscribed else ErrorCode.none
        numbers = [partition.partition_index for partition in topic.partitions]
        if error is ErrorCode.none:
            try:
                await node.offsets.delete(request.group_id, [(topic.name, number) for number in numbers])
            except StorageFailedError:
                error = ErrorCode.kafka_storage_error
        partitions = tuple(OffsetDeleteResponsePartition(partition_index=n, error_code=error) for n in numbers)
        topics.append(OffsetDeleteResponseTopic(name=topic.name, partitions=partitions))
    return OffsetDeleteResponse(error_code=ErrorCode.none, throttle_time=NO_THROTTLE, topics=tuple(topics))
