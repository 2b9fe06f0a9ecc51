"""Metadata and cluster description: one node, which leads everything."""

from __future__ import annotations

import uuid

from kio.schema.describe_cluster.v1.request import DescribeClusterRequest
from kio.schema.describe_cluster.v1.response import DescribeClusterBroker, DescribeClusterResponse
from kio.schema.errors import ErrorCode
from kio.schema.metadata.v12.request import MetadataRequest, MetadataRequestTopic
from kio.schema.metadata.v12.response import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kio.schema.types import TopicName
from kio.static.primitive import i32

from mmplatform.local.broker.api.call import BROKER_ID, NO_OPERATIONS, NO_THROTTLE, Call
from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.log.batch import LEADER_EPOCH
from mmplatform.local.broker.log.catalog import Topic, is_topic_name
from mmplatform.local.broker.node import Node


async def metadata(node: Node, call: Call, request: MetadataRequest) -> MetadataResponse:
    """The node, and the topics asked for (null: all; an empty list means all in version 0)."""
    everything = request.topics is None or (call.api_version == 0 and not request.topics)
    if everything:
        topics = [_described(topic) for topic in node.catalog]
    else:
        topics = [await _topic(node, wanted, request) for wanted in request.topics or ()]
    host, port = node.options.host, i32(node.port)
    return MetadataResponse(
        throttle_time=NO_THROTTLE,
        brokers=(MetadataResponseBroker(node_id=BROKER_ID, host=host, port=port),),
        cluster_id=node.cluster_id,
        controller_id=BROKER_ID,
        topics=tuple(topics),
    )


async def _topic(node: Node, wanted: MetadataRequestTopic, request: MetadataRequest) -> MetadataResponseTopic:
    if wanted.name is None:
        topic_id = wanted.topic_id or uuid.UUID(int=0)
        found = node.catalog.get_by_id(topic_id)
        return _described(found) if found else _missing(ErrorCode.unknown_topic_id, None, topic_id)
    topic = node.catalog.get(wanted.name)
    if topic is None and not is_topic_name(wanted.name):
        return _missing(ErrorCode.invalid_topic_exception, wanted.name)
    if topic is None and node.options.auto_create_topics and request.allow_auto_topic_creation:
        return await _on_demand(node, wanted.name)
    return _described(topic) if topic else _missing(ErrorCode.unknown_topic_or_partition, wanted.name)


async def _on_demand(node: Node, name: TopicName) -> MetadataResponseTopic:
    try:
        async with node.catalog.change_lock:
            # Another client may have created it meanwhile.
            topic = node.catalog.get(name) or await node.catalog.create(name, node.options.default_partitions, {})
    except StorageFailedError:
        return _missing(ErrorCode.kafka_storage_error, name)
    return _described(topic)


def _missing(error: ErrorCode, name: TopicName | None, topic_id: uuid.UUID | None = None) -> MetadataResponseTopic:
    return MetadataResponseTopic(error_code=error, name=name, topic_id=topic_id, partitions=())


def _described(topic: Topic) -> MetadataResponseTopic:
    partitions = tuple(
        MetadataResponsePartition(
            error_code=ErrorCode.none,
            partition_index=i32(number),
            leader_id=BROKER_ID,
            leader_epoch=i32(LEADER_EPOCH),
            replica_nodes=(BROKER_ID,),
            isr_nodes=(BROKER_ID,),
        )
        for number in range(len(topic.partitions))
    )
    return MetadataResponseTopic(
        error_code=ErrorCode.none, name=TopicName(topic.name), topic_id=topic.id, partitions=partitions
    )


async def describe_cluster(node: Node, _call: Call, request: DescribeClusterRequest) -> DescribeClusterResponse:
    """The cluster's id and its one node."""
    broker = DescribeClusterBroker(broker_id=BROKER_ID, host=node.options.host, port=i32(node.port))
    return DescribeClusterResponse(
        throttle_time=NO_THROTTLE,
        error_code=ErrorCode.none,
        endpoint_type=request.endpoint_type,
        cluster_id=node.cluster_id,
        controller_id=BROKER_ID,
        brokers=(broker,),
        cluster_authorized_operations=i32(NO_OPERATIONS),
    )
