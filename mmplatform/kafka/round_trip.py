"""One record to the broker and back, on a topic that is there for nothing else."""

from __future__ import annotations

import uuid
from contextlib import closing
from datetime import datetime, timedelta
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from mmplatform.errors import Unavailable
from mmplatform.events import utc_now
from mmplatform.kafka.connection import admin, platform_error
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.settings import Settings

_TIMEOUT_S: Final = 10.0
_KEPT: Final = {"retention.ms": "86400000", "cleanup.policy": "delete"}
_BROKERS_TIME: Final = {"message.timestamp.type": "LogAppendTime"}
_LONG_AGO: Final = timedelta(hours=1)


def round_trip(settings: Settings, name: str) -> tuple[datetime, datetime, datetime | None]:
    """When a record was sent, when it was read again, and when the broker says that it came.

    The last is ``None`` where the broker leaves records the time of their writer, as the embedded one does: it runs on
    the clock of this machine.

    Raises:
        Unavailable: the broker does not answer, or the record did not come back as it was sent.
        Misconfigured: the settings are wrong, or the topic may not be made or written.
    """
    topic = topic_name(settings, name)
    _ensure(settings, topic)
    value = uuid.uuid4().hex.encode()
    told = utc_now() - _LONG_AGO  # what is not this when it comes back is the broker's own
    with closing(LogProducer(settings, timeout_s=_TIMEOUT_S)) as producer:
        sent = utc_now()
        place = producer.send(topic, None, value, timestamp=told).result(timeout=_TIMEOUT_S * 2)
    number = place.topic_partition
    log = ReplayLog(settings, timeout_s=_TIMEOUT_S)
    entry = next(log.read(topic, {number: place.offset}, {number: place.offset + 1}), None)
    came = utc_now()
    if entry is None or entry.value != value:
        raise Unavailable(f"a record was acknowledged at {topic}[{number}] offset {place.offset}, and is not there")
    ours = abs(entry.timestamp - told) < timedelta(seconds=1)
    return sent, came, None if ours else entry.timestamp


def _ensure(settings: Settings, topic: str) -> None:
    """Make the topic, stamped by the broker where it can do that."""
    client = admin(settings)
    try:
        if topic in client.list_topics(timeout=_TIMEOUT_S).topics:
            return
        try:
            _make(client, topic, settings.topic_replicas, _KEPT | _BROKERS_TIME)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.INVALID_CONFIG:
                raise
            _make(client, topic, settings.topic_replicas, _KEPT)
    except KafkaException as error:
        raise platform_error(error, f"making the topic {topic}") from error


def _make(client: object, topic: str, replicas: int, config: dict[str, str]) -> None:
    new = NewTopic(topic, num_partitions=1, replication_factor=replicas, config=config)
    made = client.create_topics([new], operation_timeout=_TIMEOUT_S, request_timeout=_TIMEOUT_S)  # type: ignore[attr-defined]
    try:
        made[topic].result(timeout=_TIMEOUT_S * 2)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
