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
from mmplatform.local.broker.groups.offsets import Committed, Place
from mmplatform.local.broker.node import Node

# Kafka's offset.metadata.max.bytes
_MAX_METADATA = 4096


async def offset_commit(node: Node, _call: Call, request: OffsetCommitRequest) -> OffsetCommitResponse:
    """Commit what can be committed; answered when it is on disk."""
    errors: dict[Place, ErrorCode] = {}
    positions: dict[Place, Committed] = {}
    for topic in request.topics:
        for at in topic.partitions:
            place = (topic.name, at.partition_index)
            if node.catalog.partition(topic.name, at.partition_index) is None:
                errors[place] = ErrorCode.unknown_topic_or_partition
            elif len(at.committed_metadata or "") > _MAX_METADATA:
                errors[place] = ErrorCode.offset_metadata_too_large
            else:
                positions[place] = Committed(at.committed_offset, at.committed_leader_epoch, at.committed_metadata)
    error = await node.coordinator.commit(
        request.group_id, request.member_id, request.group_instance_id, request.generation_id_or_member_epoch, positions
    )
    topics = tuple(
        OffsetCommitResponseTopic(
            name=topic.name,
            partitions=tuple(
                OffsetCommitResponsePartition(
                    partition_index=at.partition_index,
                    error_code=errors.get((topic.name, at.partition_index), error),
                )
                for at in topic.partitions
            ),
        )
        for topic in request.topics
    )
    return OffsetCommitResponse(throttle_time=NO_THROTTLE, topics=topics)


async def offset_fetch(node: Node, _call: Call, request: OffsetFetchRequest) -> OffsetFetchResponse:
    """The committed offsets asked for (null: all); -1 where nothing was committed."""
    held = node.offsets.of(request.group_id)
    if request.topics is None:
        wanted = [
            (TopicName(name), tuple(i32(number) for _, number in places))
            for name, places in groupby(sorted(held), key=lambda place: place[0])
        ]
    else:
        wanted = [(topic.name, topic.partition_indexes) for topic in request.topics]
    topics = tuple(
        OffsetFetchResponseTopic(name=name, partitions=tuple(_fetched(n, held.get((name, n))) for n in numbers))
        for name, numbers in wanted
    )
    return OffsetFetchResponse(throttle_time=NO_THROTTLE, topics=topics)


def _fetched(number: i32, committed: Committed | None) -> OffsetFetchResponsePartition:
    at = committed or Committed(-1, -1, "")
    return OffsetFetchResponsePartition(
        partition_index=number,
        committed_offset=i64(at.offset),
        committed_leader_epoch=i32(at.leader_epoch),
        metadata=at.metadata,
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
