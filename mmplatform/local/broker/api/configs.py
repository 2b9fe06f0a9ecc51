"""Configs: describe topics and the broker, alter topics; every name and value is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from kio.schema.alter_configs.v2.request import AlterConfigsRequest
from kio.schema.alter_configs.v2.response import AlterConfigsResourceResponse, AlterConfigsResponse
from kio.schema.describe_configs.v4.request import DescribeConfigsRequest, DescribeConfigsResource
from kio.schema.describe_configs.v4.response import (
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)
from kio.schema.errors import ErrorCode
from kio.schema.incremental_alter_configs.v1.request import AlterableConfig, IncrementalAlterConfigsRequest
from kio.schema.incremental_alter_configs.v1.response import (
    AlterConfigsResourceResponse as IncrementalResourceResponse,
)
from kio.schema.incremental_alter_configs.v1.response import IncrementalAlterConfigsResponse
from kio.static.primitive import i8

from mmplatform.local.broker.api.call import BROKER_ID, NO_THROTTLE, Call
from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.node import Node
from mmplatform.local.broker.topic_configs import (
    KEYS,
    ConfigKey,
    ConfigSource,
    ConfigType,
    InvalidConfigError,
    validated,
)
from mmplatform.local.broker.wire import MAX_FRAME_BYTES

_TOPIC, _BROKER = 2, 4
_SET, _DELETE, _APPEND, _SUBTRACT = range(4)
_NO_TOPIC: Final = "no such topic"
_BROKER_FIXED: Final = "the embedded broker is configured on its command line; only topics can be altered"


async def describe_configs(node: Node, _call: Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse:
    """All settings of each resource, set or not, with their source and type."""
    results = tuple(_describe(node, resource, request) for resource in request.resources)
    return DescribeConfigsResponse(throttle_time=NO_THROTTLE, results=results)


def _describe(node: Node, resource: DescribeConfigsResource, request: DescribeConfigsRequest) -> DescribeConfigsResult:
    entries: list[DescribeConfigsResourceResult] = []
    error, message = ErrorCode.none, None
    wanted = resource.configuration_keys or None
    if resource.resource_type == _TOPIC:
        topic = node.catalog.get(resource.resource_name)
        if topic is None:
            error, message = ErrorCode.unknown_topic_or_partition, _NO_TOPIC
        else:
            entries = [
                _topic_entry(key, topic.config.overrides, request)
                for key in KEYS.values()
                if wanted is None or key.name in wanted
            ]
    elif resource.resource_type == _BROKER and resource.resource_name in {"", str(BROKER_ID)}:
        entries = [
            _broker_entry(name, kind, value)
            for name, (kind, value) in _broker_settings(node).items()
            if wanted is None or name in wanted
        ]
    else:
        error, message = ErrorCode.invalid_request, f"only topics and broker {BROKER_ID} have configs"
    return DescribeConfigsResult(
        error_code=error,
        error_message=message,
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
        configs=tuple(entries),
    )


def _topic_entry(
    key: ConfigKey, overrides: Mapping[str, str], request: DescribeConfigsRequest
) -> DescribeConfigsResourceResult:
    value = overrides.get(key.name, key.default)
    source = ConfigSource.TOPIC if key.name in overrides else ConfigSource.DEFAULT
    synonyms: list[DescribeConfigsSynonym] = []
    if request.include_synonyms:
        if key.name in overrides:
            synonyms.append(DescribeConfigsSynonym(name=key.name, value=value, source=i8(ConfigSource.TOPIC)))
        synonyms.append(DescribeConfigsSynonym(name=key.name, value=key.default, source=i8(ConfigSource.DEFAULT)))
    return DescribeConfigsResourceResult(
        name=key.name,
        value=value,
        read_only=False,
        config_source=i8(source),
        is_sensitive=False,
        synonyms=tuple(synonyms),
        config_type=i8(key.type),
        documentation=key.documentation if request.include_documentation else None,
    )


def _broker_entry(name: str, kind: ConfigType, value: str) -> DescribeConfigsResourceResult:
    return DescribeConfigsResourceResult(
        name=name,
        value=value,
        read_only=True,
        config_source=i8(ConfigSource.STATIC_BROKER),
        is_sensitive=False,
        synonyms=(),
        config_type=i8(kind),
        documentation=None,
    )


def _broker_settings(node: Node) -> dict[str, tuple[ConfigType, str]]:
    options = node.options
    return {
        "broker.id": (ConfigType.INT, str(BROKER_ID)),
        "log.dirs": (ConfigType.STRING, str(options.data)),
        "listeners": (ConfigType.STRING, f"PLAINTEXT://{options.host}:{node.port}"),
        "auto.create.topics.enable": (ConfigType.BOOLEAN, str(options.auto_create_topics).lower()),
        "delete.topic.enable": (ConfigType.BOOLEAN, "true"),
        "num.partitions": (ConfigType.INT, str(options.default_partitions)),
        "default.replication.factor": (ConfigType.INT, "1"),
        "min.insync.replicas": (ConfigType.INT, "1"),
        "group.initial.rebalance.delay.ms": (ConfigType.INT, str(int(options.initial_rebalance_delay_s * 1000))),
        "log.retention.check.interval.ms": (ConfigType.LONG, str(int(options.cleanup_interval_s * 1000))),
        "log.retention.ms": (ConfigType.LONG, KEYS["retention.ms"].default),
        "log.retention.bytes": (ConfigType.LONG, KEYS["retention.bytes"].default),
        "log.segment.bytes": (ConfigType.INT, KEYS["segment.bytes"].default),
        "log.cleanup.policy": (ConfigType.LIST, KEYS["cleanup.policy"].default),
        "log.message.timestamp.type": (ConfigType.STRING, KEYS["message.timestamp.type"].default),
        "message.max.bytes": (ConfigType.INT, KEYS["max.message.bytes"].default),
        "socket.request.max.bytes": (ConfigType.INT, str(MAX_FRAME_BYTES)),
        "offsets.retention.minutes": (ConfigType.INT, "-1"),
    }


async def alter_configs(node: Node, _call: Call, request: AlterConfigsRequest) -> AlterConfigsResponse:
    """Replace all overrides of each topic."""
    responses = []
    for resource in request.resources:
        overrides = {config.name: config.value for config in resource.configs}
        async with node.catalog.change_lock:
            error, message = await _replace(
                node, resource.resource_type, resource.resource_name, overrides, dry=request.validate_only
            )
        responses.append(
            AlterConfigsResourceResponse(
                error_code=error,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
        )
    return AlterConfigsResponse(throttle_time=NO_THROTTLE, responses=tuple(responses))


async def incremental_alter_configs(
    node: Node, _call: Call, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse:
    """Set, delete, append to or subtract from single overrides."""
    responses = []
    for resource in request.resources:
        try:
            async with node.catalog.change_lock:
                topic = node.catalog.get(resource.resource_name)
                changed = _changed(topic.config.overrides if topic else {}, resource.configs)
                error, message = await _replace(
                    node, resource.resource_type, resource.resource_name, changed, dry=request.validate_only
                )
        except InvalidConfigError as invalid:
            error, message = ErrorCode.invalid_config, str(invalid)
        responses.append(
            IncrementalResourceResponse(
                error_code=error,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
        )
    return IncrementalAlterConfigsResponse(throttle_time=NO_THROTTLE, responses=tuple(responses))


def _changed(current: Mapping[str, str], changes: Iterable[AlterableConfig]) -> dict[str, str | None]:
    changed: dict[str, str | None] = dict(current)
    for change in changes:
        key = KEYS.get(change.name)
        if key is None:
            raise InvalidConfigError(f"unknown topic config {change.name!r}")
        if change.config_operation == _DELETE:
            changed.pop(change.name, None)
        elif change.config_operation == _SET:
            changed[change.name] = change.value
        elif key.type is not ConfigType.LIST or change.config_operation not in {_APPEND, _SUBTRACT}:
            raise InvalidConfigError(f"operation {change.config_operation} does not apply to {change.name!r}")
        else:
            parts = [part for part in (changed.get(change.name) or key.default).split(",") if part]
            named = [part for part in (change.value or "").split(",") if part]
            remaining = [part for part in parts if part not in named]
            changed[change.name] = ",".join(remaining if change.config_operation == _SUBTRACT else remaining + named)
    return changed


async def _replace(
    node: Node, kind: int, name: str, overrides: Mapping[str, str | None], *, dry: bool
) -> tuple[ErrorCode, str | None]:
    if kind != _TOPIC:
        return ErrorCode.invalid_request, _BROKER_FIXED
    topic = node.catalog.get(name)
    if topic is None:
        return ErrorCode.unknown_topic_or_partition, _NO_TOPIC
    try:
        sound = validated(overrides)
        if not dry:
            await node.catalog.configure(topic, sound)
    except InvalidConfigError as invalid:
        return ErrorCode.invalid_config, str(invalid)
    except StorageFailedError as error:
        return ErrorCode.kafka_storage_error, str(error)
    return ErrorCode.none, None
