"""Follower of topics: reads topic partitions as they grow, without joining a consumer group.

It never commits, so that it disturbs no worker. For one thread.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from mmplatform.kafka.connection import client_config, create_client, platform_error
from mmplatform.settings import Settings

_EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the underscore is librdkafka's mark of a client-side code
MAX_RECORDS: Final = 500
"""Records of one read: between two reads a follower learns what else it has to do."""


TopicKey = tuple[str, int]
"""A topic, by its name on the broker, and a topic partition."""


class Batch(NamedTuple):
    """Records of one read, and the end offset of each topic partition whose end it reached."""

    records: list[Message]
    ends: dict[TopicKey, int]


class TopicFollower:
    """Reads topic partitions from given offsets on, and what is appended from then on.

    Raises:
        Misconfigured: no address of a broker.
    """

    def __init__(self, settings: Settings) -> None:
        self._consumer: Any = create_client(
            Consumer,
            client_config(settings)
            | {
                "group.id": f"{settings.topic_prefix}follow-{uuid.uuid4().hex}",  # required, never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                # Retention may have dropped the first records that were wanted.
                "auto.offset.reset": "earliest",
                # The broker answers at the first byte: a longer wait costs no latency.
                "fetch.wait.max.ms": 250,
                "fetch.queue.backoff.ms": 5,
                "fetch.error.backoff.ms": 50,
                # What the client reads ahead is not in anybody's bound of memory.
                "queued.max.messages.kbytes": 8_192,
            },
        )
        self._assigned: set[TopicKey] = set()
        self._paused = False

    def follow(self, starts: Mapping[TopicKey, int]) -> None:
        """Read these topic partitions too, each from its offset; one that is read already goes back to it.

        Raises:
            Unavailable: the client refuses, as it does while it closes.
        """
        if not starts:
            return
        again = [TopicPartition(*key) for key in starts if key in self._assigned]
        wanted = [TopicPartition(*key, offset) for key, offset in starts.items()]
        try:
            if again:
                self._consumer.incremental_unassign(again)
            self._consumer.incremental_assign(wanted)
            self._assigned |= set(starts)
            if self._paused:
                self._consumer.pause([TopicPartition(*key) for key in starts])
        except KafkaException as error:
            raise platform_error(error, f"reading {', '.join(sorted({topic for topic, _ in starts}))}") from error

    def pause(self) -> None:
        """Read nothing until :meth:`resume`."""
        if not self._paused:
            self._consumer.pause([TopicPartition(*key) for key in self._assigned])
            self._paused = True

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._consumer.resume([TopicPartition(*key) for key in self._assigned])
            self._paused = False

    def read(self, timeout_s: float) -> Batch:
        """Wait for a record, and return it with those that follow without a wait.

        Raises:
            Unavailable: the broker does not answer; reading goes on once it does.
            Misconfigured: it refuses this client.
        """
        first = self._consumer.poll(timeout_s)
        if first is None:
            return Batch([], {})
        records: list[Message] = []
        ends: dict[TopicKey, int] = {}
        for message in (first, *self._consumer.consume(MAX_RECORDS - 1, 0)):
            error = message.error()
            if error is None:
                records.append(message)
                ends.pop((message.topic(), message.partition()), None)  # the end that was met before it
            elif error.code() == _EOF:
                ends[message.topic(), message.partition()] = message.offset()
            elif not records:
                raise platform_error(error, f"reading {', '.join(sorted({topic for topic, _ in self._assigned}))}")
        return Batch(records, ends)

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()
