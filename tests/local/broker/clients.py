"""Kafka clients for tests, with the few calls that tests repeat."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

QUIET = {"log_level": 2}


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


class Clients:
    """Clients of one broker; each is new, so that no test sees another's state."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address, **QUIET})

    def producer(self, **settings: object) -> Producer:
        return Producer({"bootstrap.servers": self.address, "acks": "all", **QUIET, **_dotted(settings)})

    def consumer(self, group: str | None = None, **settings: object) -> Consumer:
        base = {
            "bootstrap.servers": self.address,
            "group.id": group or unique("group"),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
            "fetch.wait.max.ms": 50,
            **QUIET,
        }
        return Consumer({**base, **_dotted(settings)})

    def topic(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = unique("topic")
        new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        self.admin.create_topics([new])[name].result(20)
        until(lambda: name in self.admin.list_topics(timeout=10).topics)
        return name

    def configs(self, topic: str) -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        return {
            name: entry.value for name, entry in self.admin.describe_configs([resource])[resource].result(10).items()
        }

    def produce(self, topic: str, values: Iterable[bytes], *, partition: int = 0, **settings: object) -> None:
        """Produce and wait for every acknowledgement."""
        producer, failures = self.producer(**settings), []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures.append(error)

        for value in values:
            producer.produce(topic, value=value, partition=partition, on_delivery=delivered)
        assert producer.flush(30) == 0
        assert not failures, failures[0]

    def read(self, topic: str, partitions: int = 1, *, count: int | None = None) -> list[Message]:
        """The topic from the beginning: to the end of every partition, or until there are `count` messages."""
        consumer = self.consumer(enable_partition_eof=True)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)])
        found: list[Message] = []
        ends: set[int] = set()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and (len(ends) < partitions if count is None else len(found) < count):
            for message in consumer.consume(1000, 0.1):
                error = message.error()
                if error is None:
                    found.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ends.add(message.partition())
        consumer.close()
        return found

    def watermarks(self, topic: str, partition: int = 0) -> tuple[int, int]:
        consumer = self.consumer()
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.close()
        return low, high


def until(true: Callable[[], object], within_s: float = 20.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"still not so after {within_s} s"
        time.sleep(0.05)


def poll(consumer: Consumer, count: int, within_s: float = 20.0) -> list[Message]:
    """The next `count` messages of a consumer."""
    found: list[Message] = []
    deadline = time.monotonic() + within_s
    while len(found) < count and time.monotonic() < deadline:
        fresh = consumer.consume(count - len(found), 0.1)
        assert not [message.error() for message in fresh if message.error()]
        found += fresh
    return found


def _dotted(settings: Mapping[str, object]) -> dict[str, object]:
    return {name.replace("_", "."): value for name, value in settings.items()}
