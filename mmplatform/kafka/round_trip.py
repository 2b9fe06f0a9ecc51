"""Round trip of one record to the broker and back, on a topic of its own."""

from __future__ import annotations

import uuid
from contextlib import closing
from datetime import datetime, timedelta
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from mmplatform.kafka.connection import admin_client, platform_error
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.settings import Settings

_TIMEOUT_S: Final = 10.0
_TOPIC_CONFIG: Final = {"retention.ms": "86400000", "cleanup.policy": "delete"}
_LOG_APPEND_TIME: Final = {"message.timestamp.type": "LogAppendTime"}
_BACKDATED_BY: Final = timedelta(hours=1)


def round_trip(settings: Settings, name: str) -> tuple[datetime, datetime, datetime | None]:
    """Times at which a record was sent, was read back, and was appended by the broker's clock.

    The last is ``None`` where the broker keeps the writer's timestamp, as the embedded one does: it uses the clock of
    this machine.

    Raises:
        Unavailable: the broker does not answer, or the record did not come back as it was sent.
        Misconfigured: the settings are wrong, or the topic may not be created or written.
    """
    topic = topic_name(settings, name)
    _ensure_topic(settings, topic)
    value = uuid.uuid4().hex.encode()
    backdated = utc_now() - _BACKDATED_BY  # any other timestamp on the log is the broker's own
    with closing(LogProducer(settings, timeout_s=_TIMEOUT_S)) as producer:
        sent_at = utc_now()
        position = producer.send(topic, None, value, timestamp=backdated).result(timeout=_TIMEOUT_S * 2)
    number, offset = position.topic_partition, position.offset
    with ReplayLog(settings, timeout_s=_TIMEOUT_S) as log:
        entry = next(log.read(topic, {number: offset}, {number: offset + 1}), None)
    read_at = utc_now()
    if entry is None or entry.value != value:
        raise Unavailable(f"a record was acknowledged at {topic}[{number}] offset {offset}, but is missing there")
    writer_time = abs(entry.timestamp - backdated) < timedelta(seconds=1)
    return sent_at, read_at, None if writer_time else entry.timestamp


def _ensure_topic(settings: Settings, topic: str) -> None:
    """Create the topic, with the broker's append time where the broker supports it."""
    client = admin_client(settings)
    try:
        if topic in client.list_topics(timeout=_TIMEOUT_S).topics:
            return
        try:
            _create_topic(client, topic, settings.topic_replication_factor, _TOPIC_CONFIG | _LOG_APPEND_TIME)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.INVALID_CONFIG:
                raise
            _create_topic(client, topic, settings.topic_replication_factor, _TOPIC_CONFIG)
    except KafkaException as error:
        raise platform_error(error, f"creating the topic {topic}") from error


def _create_topic(client: object, topic: str, replicas: int, config: dict[str, str]) -> None:
    new = NewTopic(topic, num_partitions=1, replication_factor=replicas, config=config)
    created = client.create_topics([new], operation_timeout=_TIMEOUT_S, request_timeout=_TIMEOUT_S)  # type: ignore[attr-defined]
    try:
        created[topic].result(timeout=_TIMEOUT_S * 2)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
