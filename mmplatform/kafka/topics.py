"""Topics of the platform: their names, and their creation with the retention and the times that replay needs.

Retention goes by *record timestamp*, and a broker's default is days: a topic created with defaults loses old events.
So every topic is created with an explicit ``retention.ms`` and ``cleanup.policy``, and with the record size that all
writers keep to. Of an existing topic only the kind of its timestamps is altered: another difference, also a longer
retention, is reported.

A record's timestamp is the broker's time of the append (``message.timestamp.type=LogAppendTime``). Within a topic
partition it has one clock, so it rises with the offset. With the writers' times one wrong clock of a gateway or of a
foreign client would decide on offsets by time, on the age of the lag and on retention.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from mmplatform.errors import Unavailable
from mmplatform.events import Modality
from mmplatform.kafka.connection import admin_client, platform_error
from mmplatform.lineage.names import lineage_topic
from mmplatform.modalities import ARTIFACTS_TOPIC, DEAD_LETTERS_TOPIC, MODALITIES, PROGRESS_TOPIC, QUARANTINE_TOPIC
from mmplatform.settings import Settings

INFINITE_RETENTION: Final = -1
LINEAGE_RETENTION_MS: Final = 7 * 86_400_000
"""A week: a collector reads the lineage events and stores them itself."""

PROGRESS_RETENTION_MS: Final = 3_600_000
"""An hour: a reader needs the newest record of each source, which is a second old while a deriver runs. A quiet stack
writes 5 kB a second."""

PROGRESS_SEGMENT_MS: Final = 900_000
"""Only closed segments are deleted, and Kafka's default closes one after a week."""

MAX_MESSAGE_BYTES: Final = 1_048_588
"""Minimum ``max.message.bytes`` of every topic: Kafka's default, explicit since a broker may have another."""

TIMESTAMP_TYPE: Final = "message.timestamp.type"
LOG_APPEND_TIME: Final = "LogAppendTime"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """Required state of a topic; ``name`` has the prefix, ``retention_ms`` is -1 for infinite retention."""

    name: str
    topic_partitions: int
    retention_ms: int
    segment_ms: int | None = None
    """Age at which a segment is closed; None: the broker's default."""

    @property
    def config(self) -> dict[str, str]:
        """Topic settings under Kafka's names."""
        return {
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "cleanup.policy": "delete",
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            TIMESTAMP_TYPE: LOG_APPEND_TIME,
        } | ({"segment.ms": str(self.segment_ms)} if self.segment_ms is not None else {})


@dataclass(frozen=True, slots=True)
class TopicsReport:
    """Result of :func:`ensure_topics`. ``mismatches`` are sentences for the operator: these were left unchanged."""

    created: tuple[str, ...]
    existing: tuple[str, ...]
    mismatches: tuple[str, ...]
    altered: tuple[str, ...] = ()
    """The existing topics that got LogAppendTime."""


def topic_name(settings: Settings, name: str) -> str:
    """The name on the broker of one of the platform's topics."""
    return f"{settings.topic_prefix}{name}"


def deriver_group(settings: Settings, modality: Modality) -> str:
    """The consumer group of a modality's derivers."""
    return f"{settings.topic_prefix}{MODALITIES[modality].group}"


def required_topics(settings: Settings) -> list[TopicSpec]:
    """Every topic of the platform, and the topic of lineage events where those go to Kafka.

    Quarantine and dead letters are rare and must be present for a later redrive: their retention is infinite.
    """
    wide = [*(spec.topic for spec in MODALITIES.values()), ARTIFACTS_TOPIC]
    narrow = [QUARANTINE_TOPIC, DEAD_LETTERS_TOPIC]
    lineage = lineage_topic(settings)
    return [
        *(TopicSpec(topic_name(settings, t), settings.topic_partitions, settings.log_retention_ms) for t in wide),
        *(TopicSpec(topic_name(settings, t), 1, INFINITE_RETENTION) for t in narrow),
        TopicSpec(topic_name(settings, PROGRESS_TOPIC), 1, PROGRESS_RETENTION_MS, PROGRESS_SEGMENT_MS),
        *([TopicSpec(lineage, 1, LINEAGE_RETENTION_MS)] if lineage else []),
    ]


def ensure_topics(settings: Settings, client: AdminClient | None = None, *, timeout_s: float = 30.0) -> TopicsReport:
    """Create missing topics; give existing ones LogAppendTime, and report their other differences.

    Why this one setting is altered, and no other: only later records change, no record is lost earlier, since an append
    is never before the ingestion, and every version of the platform reads both types. The stack of an earlier version
    would need Kafka's own tools for it, which an installation with pip lacks. The topic of the lineage events may
    belong to others, so it is only reported.

    Safe to call from several processes at once.

    Raises:
        Unavailable: the broker did not answer within ``timeout_s``.
        Misconfigured: no address, or the broker refuses (rights, replication factor).
    """
    client = client or admin_client(settings)
    specs = required_topics(settings)
    try:
        found = client.list_topics(timeout=timeout_s).topics
        created = _create(
            client, [s for s in specs if s.name not in found], settings.topic_replication_factor, timeout_s
        )
        existing = [spec for spec in specs if spec.name not in created]
        altered = _ensure_append_time(client, [s for s in existing if s.name != lineage_topic(settings)], timeout_s)
        mismatches = _mismatches(client, existing, timeout_s)
    except KafkaException as error:
        raise platform_error(error, "preparing the topics") from error
    return TopicsReport(tuple(created), tuple(spec.name for spec in existing), tuple(mismatches), tuple(altered))


def count_topic_partitions(settings: Settings, names: Iterable[str], *, timeout_s: float = 30.0) -> int:
    """Total number of topic partitions of these topics. Raises Unavailable, Misconfigured."""
    full_names = [topic_name(settings, name) for name in names]
    if not full_names:
        return 0
    client = admin_client(settings)
    try:
        found = client.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise platform_error(error, "counting topic partitions") from error
    existing = [found[name] for name in full_names if name in found]
    for topic in existing:
        if topic.error is not None:  # under creation, or without a leader: the count is unknown
            raise Unavailable(
                f"the topic {topic.topic} at {settings.kafka_bootstrap_servers} is not ready: {topic.error.name()}"
            )
    return sum(len(topic.partitions) for topic in existing)


def _create(client: AdminClient, specs: list[TopicSpec], replicas: int, timeout_s: float) -> list[str]:
    if not specs:
        return []
    new_topics = [
        NewTopic(spec.name, num_partitions=spec.topic_partitions, replication_factor=replicas, config=spec.config)
        for spec in specs
    ]
    created = []
    futures = client.create_topics(new_topics, operation_timeout=timeout_s, request_timeout=timeout_s)
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # created by another process meanwhile
                raise
        else:
            created.append(name)
    return created


def _describe(client: AdminClient, specs: list[TopicSpec], timeout_s: float) -> dict[str, dict[str, Any]]:
    resources = [ConfigResource(ResourceType.TOPIC, spec.name) for spec in specs]
    answers = client.describe_configs(resources, request_timeout=timeout_s)
    return {resource.name: answer.result() for resource, answer in answers.items()}


def _ensure_append_time(client: AdminClient, specs: list[TopicSpec], timeout_s: float) -> list[str]:
    """Names of the topics that were altered; a refusal leaves a mismatch."""
    if not specs:
        return []
    configs = _describe(client, specs, timeout_s)
    entry = ConfigEntry(TIMESTAMP_TYPE, LOG_APPEND_TIME, incremental_operation=AlterConfigOpType.SET)
    resources = [
        ConfigResource(ResourceType.TOPIC, spec.name, incremental_configs=[entry])
        for spec in specs
        if _timestamp_type(configs[spec.name]) != LOG_APPEND_TIME
    ]
    if not resources:
        return []
    altered = []
    for resource, future in client.incremental_alter_configs(resources, request_timeout=timeout_s).items():
        try:
            future.result()
        except KafkaException as error:
            _log.warning("topic not altered", topic=resource.name, setting=TIMESTAMP_TYPE, reason=error.args[0].name())
        else:
            _log.info("topic altered", topic=resource.name, setting=TIMESTAMP_TYPE, value=LOG_APPEND_TIME)
            altered.append(resource.name)
    return altered


def _mismatches(client: AdminClient, specs: list[TopicSpec], timeout_s: float) -> list[str]:
    if not specs:
        return []
    metadata = client.list_topics(timeout=timeout_s).topics
    configs = _describe(client, specs, timeout_s)
    mismatches: list[str] = []
    for spec in specs:
        config = configs[spec.name]
        topic_partitions = len(metadata[spec.name].partitions) if spec.name in metadata else spec.topic_partitions
        mismatches += _differences(spec, topic_partitions, config)
    return mismatches


def _differences(spec: TopicSpec, topic_partitions: int, config: dict[str, Any]) -> list[str]:
    """Differences as sentences; more topic partitions than required are no mismatch.

    Longer retention than required is one: the records are about people, and an operator believes them deleted.
    """
    found = []
    if topic_partitions < spec.topic_partitions:
        found.append(
            f"{spec.name} has {topic_partitions} topic partitions instead of {spec.topic_partitions}: fewer workers "
            "can share it; adding some moves conversations to other topic partitions, so do it while nothing is pending"
        )
    retention_ms = _number(config, "retention.ms")
    if _is_less(retention_ms, spec.retention_ms):
        found.append(
            f"{spec.name} has retention.ms={retention_ms} instead of {spec.retention_ms}: "
            "older records are lost to replay; alter the topic's retention.ms"
        )
    elif _is_less(spec.retention_ms, retention_ms):
        found.append(
            f"{spec.name} has retention.ms={retention_ms} instead of {spec.retention_ms}: older records, personal data "
            f"among them, stay on the log; alter the topic's retention.ms to {spec.retention_ms}"
        )
    if _is_less(_number(config, "retention.bytes"), INFINITE_RETENTION):
        found.append(
            f"{spec.name} has retention.bytes={_number(config, 'retention.bytes')}: older records beyond it are lost "
            "to replay; alter the topic's retention.bytes to -1"
        )
    max_bytes = _number(config, "max.message.bytes")
    if _is_less(max_bytes, MAX_MESSAGE_BYTES):
        found.append(
            f"{spec.name} has max.message.bytes={max_bytes} instead of {MAX_MESSAGE_BYTES}: a larger record cannot be "
            "written, and blocks its call; alter the topic's max.message.bytes"
        )
    policy = config["cleanup.policy"].value if "cleanup.policy" in config else "delete"
    if "compact" in policy:
        found.append(
            f"{spec.name} has cleanup.policy={policy}: compaction keeps only the last event of a conversation; "
            "alter the topic's cleanup.policy to delete"
        )
    if _timestamp_type(config) != LOG_APPEND_TIME:
        found.append(
            f"{spec.name} has {TIMESTAMP_TYPE}={_timestamp_type(config)} instead of {LOG_APPEND_TIME}: the clocks of "
            "writers decide on offsets by time and on retention; run `kafka-configs --alter --entity-type topics "
            f"--entity-name {spec.name} --add-config {TIMESTAMP_TYPE}={LOG_APPEND_TIME}`"
        )
    return found


def _timestamp_type(config: dict[str, Any]) -> str:
    """The type in force; a compatible broker that does not list the setting has nothing to alter."""
    return str(config[TIMESTAMP_TYPE].value) if TIMESTAMP_TYPE in config else LOG_APPEND_TIME


def _number(config: dict[str, Any], name: str) -> int:
    return int(config[name].value) if name in config else INFINITE_RETENTION


def _is_less(actual: int, required: int) -> bool:
    return actual != INFINITE_RETENTION and (required == INFINITE_RETENTION or actual < required)
