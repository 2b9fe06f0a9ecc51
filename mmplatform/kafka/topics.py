"""The topics of the platform: what they are called, and that they exist with the retention that replay needs.

Retention goes by *record timestamp*, and a broker's default is days: a topic that was made without a word about it
throws old events away. So every topic is created with ``retention.ms`` and ``cleanup.policy`` spelled out, and with the
size of record that everything written here keeps to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from mmplatform.errors import Unavailable
from mmplatform.events import Modality
from mmplatform.kafka.connection import admin as open_admin
from mmplatform.kafka.connection import platform_error
from mmplatform.lineage.names import lineage_topic
from mmplatform.modalities import ARTIFACTS_TOPIC, DEAD_LETTERS_TOPIC, MODALITIES, QUARANTINE_TOPIC
from mmplatform.settings import Settings

KEEP_ALL: Final = -1
WEEK_MS: Final = 7 * 86_400_000
"""What lies on the topic of lineage events is read by a collector and kept there, not here."""

MESSAGE_BYTES: Final = 1_048_588
"""What a topic of ours takes at the least: Kafka's default, spelled out, since a broker may have been given another."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as we want it; ``name`` has the prefix, ``retention_ms`` is -1 to keep all."""

    name: str
    topic_partitions: int
    retention_ms: int

    @property
    def config(self) -> dict[str, str]:
        """Topic settings, in Kafka's words."""
        return {
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "cleanup.policy": "delete",
            "max.message.bytes": str(MESSAGE_BYTES),
        }


@dataclass(frozen=True, slots=True)
class TopicsReport:
    """What :func:`ensure_topics` did. ``mismatches`` are sentences for the operator: nothing was changed."""

    created: tuple[str, ...]
    existing: tuple[str, ...]
    mismatches: tuple[str, ...]


def topic_name(settings: Settings, name: str) -> str:
    """The name on the broker of one of our topics."""
    return f"{settings.topic_prefix}{name}"


def deriver_group(settings: Settings, modality: Modality) -> str:
    """The consumer group of a modality's derivers."""
    return f"{settings.topic_prefix}{MODALITIES[modality].group}"


def wanted_topics(settings: Settings) -> list[TopicSpec]:
    """Every topic of the platform, and the one of lineage events where those go to Kafka.

    Quarantine and dead letters are rare and must be there when someone comes to redrive them: they are always kept.
    """
    wide = [*(spec.topic for spec in MODALITIES.values()), ARTIFACTS_TOPIC]
    narrow = [QUARANTINE_TOPIC, DEAD_LETTERS_TOPIC]
    told = lineage_topic(settings)
    return [
        *(TopicSpec(topic_name(settings, t), settings.topic_partitions, settings.log_retention_ms) for t in wide),
        *(TopicSpec(topic_name(settings, t), 1, KEEP_ALL) for t in narrow),
        *([TopicSpec(told, 1, WEEK_MS)] if told else []),
    ]


def ensure_topics(settings: Settings, client: AdminClient | None = None, *, timeout_s: float = 30.0) -> TopicsReport:
    """Create the topics that are missing, leave the others as they are and say where they differ from our wishes.

    Safe to call from several processes at once.

    Raises:
        Unavailable: the broker did not answer within ``timeout_s``.
        Misconfigured: no address, or the broker refuses (rights, replication factor).
    """
    client = client or open_admin(settings)
    specs = wanted_topics(settings)
    try:
        there = client.list_topics(timeout=timeout_s).topics
        created = _create(client, [s for s in specs if s.name not in there], settings.topic_replicas, timeout_s)
        existing = [spec for spec in specs if spec.name not in created]
        mismatches = _mismatches(client, existing, timeout_s)
    except KafkaException as error:
        raise platform_error(error, "preparing the topics") from error
    return TopicsReport(tuple(created), tuple(spec.name for spec in existing), tuple(mismatches))


def count_topic_partitions(settings: Settings, names: Iterable[str], *, timeout_s: float = 30.0) -> int:
    """How many topic partitions these topics of ours have together. Raises Unavailable, Misconfigured."""
    full = [topic_name(settings, name) for name in names]
    if not full:
        return 0
    client = open_admin(settings)
    try:
        there = client.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise platform_error(error, "counting topic partitions") from error
    known = [there[name] for name in full if name in there]
    for topic in known:
        if topic.error is not None:  # it is being made, or has no leader: its number is not known
            raise Unavailable(f"the topic {topic.topic} at {settings.kafka} is not ready: {topic.error.name()}")
    return sum(len(topic.partitions) for topic in known)


def _create(client: AdminClient, specs: list[TopicSpec], replicas: int, timeout_s: float) -> list[str]:
    if not specs:
        return []
    news = [
        NewTopic(spec.name, num_partitions=spec.topic_partitions, replication_factor=replicas, config=spec.config)
        for spec in specs
    ]
    created = []
    futures = client.create_topics(news, operation_timeout=timeout_s, request_timeout=timeout_s)
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was quicker: just as well
                raise
        else:
            created.append(name)
    return created


def _mismatches(client: AdminClient, specs: list[TopicSpec], timeout_s: float) -> list[str]:
    if not specs:
        return []
    metadata = client.list_topics(timeout=timeout_s).topics
    resources = {spec.name: ConfigResource(ResourceType.TOPIC, spec.name) for spec in specs}
    answers = client.describe_configs(list(resources.values()), request_timeout=timeout_s)
    found: list[str] = []
    for spec in specs:
        config = answers[resources[spec.name]].result()
        topic_partitions = len(metadata[spec.name].partitions) if spec.name in metadata else spec.topic_partitions
        found += _differences(spec, topic_partitions, config)
    return found


def _differences(spec: TopicSpec, topic_partitions: int, config: dict[str, Any]) -> list[str]:
    """Sentences; more topic partitions or longer retention than wished are no harm."""
    found = []
    if topic_partitions < spec.topic_partitions:
        found.append(
            f"{spec.name} has {topic_partitions} topic partitions instead of {spec.topic_partitions}: fewer workers "
            "can share it; adding some moves conversations to other topic partitions, so do it while nothing is pending"
        )
    if _less(_number(config, "retention.ms"), spec.retention_ms):
        found.append(
            f"{spec.name} has retention.ms={_number(config, 'retention.ms')} instead of {spec.retention_ms}: "
            "what is older is lost to replay; alter the topic's retention.ms"
        )
    if _less(_number(config, "retention.bytes"), KEEP_ALL):
        found.append(
            f"{spec.name} has retention.bytes={_number(config, 'retention.bytes')}: what is beyond it is lost to "
            "replay; alter the topic's retention.bytes to -1"
        )
    largest = _number(config, "max.message.bytes")
    if _less(largest, MESSAGE_BYTES):
        found.append(
            f"{spec.name} has max.message.bytes={largest} instead of {MESSAGE_BYTES}: what is larger cannot be "
            "written, and a call that makes it stands still; alter the topic's max.message.bytes"
        )
    policy = config["cleanup.policy"].value if "cleanup.policy" in config else "delete"
    if "compact" in policy:
        found.append(
            f"{spec.name} has cleanup.policy={policy}: compaction keeps only the last event of a conversation; "
            "alter the topic's cleanup.policy to delete"
        )
    return found


def _number(config: dict[str, Any], name: str) -> int:
    return int(config[name].value) if name in config else KEEP_ALL


def _less(actual: int, wish: int) -> bool:
    return actual != KEEP_ALL and (wish == KEEP_ALL or actual < wish)
