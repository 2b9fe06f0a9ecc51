"""Topics: create, delete, add partitions."""

from __future__ import annotations

from typing import Final

from kio.schema.create_partitions.v3.request import CreatePartitionsRequest, CreatePartitionsTopic
from kio.schema.create_partitions.v3.response import CreatePartitionsResponse, CreatePartitionsTopicResult
from kio.schema.create_topics.v7.request import CreatableTopic, CreateTopicsRequest
from kio.schema.create_topics.v7.response import (
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsResponse,
)
from kio.schema.delete_topics.v5.request import DeleteTopicsRequest
from kio.schema.delete_topics.v5.response import DeletableTopicResult, DeleteTopicsResponse
from kio.schema.errors import ErrorCode
from kio.schema.types import TopicName
from kio.static.primitive import i8, i16, i32

from mmplatform.local.broker.api.call import BROKER_ID, NO_THROTTLE, Call
from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.log.catalog import Topic, is_topic_name
from mmplatform.local.broker.node import Node
from mmplatform.local.broker.topic_configs import KEYS, ConfigSource, InvalidConfigError, validated

# Each partition is a directory with an open file; one machine has no use for more in a topic.
MAX_PARTITIONS: Final = 1000


class _RefusedError(Exception):
    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


async def create_topics(node: Node, _call: Call, request: CreateTopicsRequest) -> CreateTopicsResponse:
    """Create each topic for itself; one refusal does not stop the others."""
    names = [topic.name for topic in request.topics]
    results = []
    for topic in request.topics:
        try:
            if names.count(topic.name) > 1:
                raise _RefusedError(ErrorCode.invalid_request, f"topic {topic.name!r} is named twice in one request")
            async with node.catalog.change_lock:
                results.append(await _create(node, topic, validate_only=request.validate_only))
        except _RefusedError as refusal:
            results.append(
                CreatableTopicResult(
                    name=topic.name, topic_id=None, error_code=refusal.code, error_message=str(refusal), configs=None
                )
            )
    return CreateTopicsResponse(throttle_time=NO_THROTTLE, topics=tuple(results))


async def _create(node: Node, wanted: CreatableTopic, *, validate_only: bool) -> CreatableTopicResult:
    if not is_topic_name(wanted.name):
        raise _RefusedError(ErrorCode.invalid_topic_exception, "a topic name has 1 to 249 of a-z A-Z 0-9 . _ -")
    if node.catalog.get(wanted.name) is not None:
        raise _RefusedError(ErrorCode.topic_already_exists, f"topic {wanted.name!r} already exists")
    count = _partition_count(node, wanted)
    try:
        configs = validated({config.name: config.value for config in wanted.configs})
    except InvalidConfigError as error:
        raise _RefusedError(ErrorCode.invalid_config, str(error)) from error
    try:
        topic = None if validate_only else await node.catalog.create(wanted.name, count, configs)
    except StorageFailedError as error:
        raise _RefusedError(ErrorCode.kafka_storage_error, str(error)) from error
    return CreatableTopicResult(
        name=wanted.name,
        topic_id=topic.id if topic else None,
        error_code=ErrorCode.none,
        error_message=None,
        num_partitions=i32(count),
        replication_factor=i16(1),
        configs=tuple(_config(name, configs) for name in KEYS),
    )


def _config(name: str, overrides: dict[str, str]) -> CreatableTopicConfigs:
    source = ConfigSource.TOPIC if name in overrides else ConfigSource.DEFAULT
    return CreatableTopicConfigs(
        name=name,
        value=overrides.get(name, KEYS[name].default),
        read_only=False,
        config_source=i8(source),
        is_sensitive=False,
    )


def _partition_count(node: Node, wanted: CreatableTopic) -> int:
    if wanted.assignments:
        numbers = sorted(assignment.partition_index for assignment in wanted.assignments)
        if numbers != list(range(len(numbers))):
            raise _RefusedError(ErrorCode.invalid_replica_assignment, "partitions must be numbered from 0")
        _check_replicas([list(assignment.broker_ids) for assignment in wanted.assignments])
        count = len(numbers)
    else:
        if wanted.replication_factor not in {-1, 1}:
            message = f"replication factor {wanted.replication_factor}: there is one node, so it must be 1"
            raise _RefusedError(ErrorCode.invalid_replication_factor, message)
        count = node.options.default_partitions if wanted.num_partitions == -1 else wanted.num_partitions
    _check_count(count)
    return count


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_PARTITIONS:
        raise _RefusedError(ErrorCode.invalid_partitions, f"{count} partitions: must be 1 to {MAX_PARTITIONS}")


def _check_replicas(replicas: list[list[int]]) -> None:
    if any(brokers != [BROKER_ID] for brokers in replicas):
        raise _RefusedError(ErrorCode.invalid_replica_assignment, f"the only node is {BROKER_ID}")


async def delete_topics(node: Node, _call: Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
    """Delete topics with their records and the groups' offsets for them."""
    results = []
    for name in request.topic_names:
        async with node.catalog.change_lock:
            error = await _delete(node, name)
        results.append(DeletableTopicResult(name=name, error_code=error))
    return DeleteTopicsResponse(throttle_time=NO_THROTTLE, responses=tuple(results))


async def _delete(node: Node, name: TopicName) -> ErrorCode:
    topic = node.catalog.get(name)
    if topic is None:
        return ErrorCode.unknown_topic_or_partition
    try:
        await node.catalog.delete(topic)
    except StorageFailedError:
        return ErrorCode.kafka_storage_error
    node.offsets.drop_topic(name)
    return ErrorCode.none


async def create_partitions(node: Node, _call: Call, request: CreatePartitionsRequest) -> CreatePartitionsResponse:
    """Add partitions; their number never falls."""
    results = []
    for wanted in request.topics:
        try:
            async with node.catalog.change_lock:
                topic = _growable(node, wanted)
                if not request.validate_only:
                    await node.catalog.grow(topic, wanted.count)
            results.append(CreatePartitionsTopicResult(name=wanted.name, error_code=ErrorCode.none))
        except _RefusedError as refusal:
            results.append(_not_grown(wanted.name, refusal))
        except StorageFailedError as error:
            results.append(_not_grown(wanted.name, _RefusedError(ErrorCode.kafka_storage_error, str(error))))
    return CreatePartitionsResponse(throttle_time=NO_THROTTLE, results=tuple(results))


def _growable(node: Node, wanted: CreatePartitionsTopic) -> Topic:
    topic = node.catalog.get(wanted.name)
    if topic is None:
        raise _RefusedError(ErrorCode.unknown_topic_or_partition, f"no topic {wanted.name!r}")
    have = len(topic.partitions)
    if wanted.count <= have:
        raise _RefusedError(ErrorCode.invalid_partitions, f"topic {wanted.name!r} has {have} partitions already")
    _check_count(wanted.count)
    if wanted.assignments is not None:
        if len(wanted.assignments) != wanted.count - have:
            raise _RefusedError(ErrorCode.invalid_replica_assignment, "one assignment for each new partition")
        _check_replicas([list(assignment.broker_ids) for assignment in wanted.assignments])
    return topic


def _not_grown(name: TopicName, refusal: _RefusedError) -> CreatePartitionsTopicResult:
    return CreatePartitionsTopicResult(name=name, error_code=refusal.code, error_message=str(refusal))
