"""Reader of the replay log: lag and progress of consumer groups, watermarks, and records by offset or time.

The reader never commits an offset or joins a group, so it cannot disturb a worker. Topics are given by their names on
the broker (``topics.topic_name``).

A record's time is the broker's time of its append (LogAppendTime, see ``topics``): it rises with the offset in a topic
partition, and an age by it includes the difference between this machine's clock and the broker's.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.events import Position
from mmplatform.kafka.connection import admin_client, client_config, create_client, platform_error
from mmplatform.kafka.record_time import record_time
from mmplatform.settings import Settings

_EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the underscore is librdkafka's mark of a client-side code
_FETCH_RECORDS: Final = 500
_CONSUME_TIMEOUT_S: Final = 0.05
ReadBound = Mapping[int, int] | datetime | None
"""Bound of a read: an offset for each topic partition, or a record time; None is the start or the end."""


class Watermarks(NamedTuple):
    """Offsets of a topic partition: ``low`` is the first, ``high`` the one that the next record will get."""

    low: int
    high: int


class GroupProgress(NamedTuple):
    """A group's position in a topic partition: the next offset to read, and the high watermark."""

    next_offset: int
    high: int


class LogEntry(NamedTuple):
    """A record on the log; ``raw_key`` is its key in bytes, since a foreign client's may not be UTF-8."""

    position: Position
    key: str | None
    value: bytes
    headers: dict[str, bytes]
    timestamp: datetime
    raw_key: bytes | None = None


class _GroupConsumer(NamedTuple):
    """The consumer of a queried group. The lock: librdkafka's handle must not be destroyed under a running query."""

    consumer: Any
    lock: threading.Lock


class ReplayLog:
    """Reads the log. Thread-safe; holds one admin client, and one consumer for each queried group until it is closed.

    Every method raises Unavailable when the broker does not answer within ``timeout_s``, Misconfigured when a topic
    does not exist or may not be read. A context manager that closes itself at its end.
    """

    def __init__(self, settings: Settings, *, timeout_s: float = 10.0) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._admin = admin_client(settings)  # stored: futures fail when their client is collected
        self._group_consumers: dict[str, _GroupConsumer] = {}
        self._consumers_lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the consumers, each after the query that is under way in another thread; calling it again is fine."""
        with self._consumers_lock:
            self._closed = True
            consumers = list(self._group_consumers.values())
            self._group_consumers.clear()
        for queried in consumers:
            with queried.lock:
                queried.consumer.close()

    def lag(self, group: str, topics: Iterable[str]) -> dict[str, dict[int, int]]:
        """Records behind, by topic and topic partition, for a group that reads from the earliest record.

        A group that never committed is behind by every retained record.
        """
        return {
            topic: {number: progress.high - progress.next_offset for number, progress in by_number.items()}
            for topic, by_number in self.progress(group, topics).items()
        }

    def progress(self, group: str, topics: Iterable[str]) -> dict[str, dict[int, GroupProgress]]:
        """A group's position by topic and topic partition, as :meth:`lag` counts it."""
        watermarks = self.watermarks(topics)
        committed = self._committed_offsets(
            group, [(topic, number) for topic, by_number in watermarks.items() for number in by_number]
        )
        return {
            topic: {
                number: GroupProgress(min(max(committed.get((topic, number), low), low), high), high)
                for number, (low, high) in by_number.items()
            }
            for topic, by_number in watermarks.items()
        }

    def oldest_pending_at(self, group: str, topic: str) -> datetime | None:
        """Append time of the group's oldest pending record; None: no record is pending."""
        progress = self.progress(group, [topic])[topic]
        firsts = {number: (start, start + 1) for number, (start, high) in progress.items() if start < high}
        return min((entry.timestamp for entry in self._read_ranges(topic, firsts)), default=None)

    def newest_record_at(self, topic: str) -> datetime | None:
        """Append time of the newest record; None: the topic is empty."""
        watermarks = self.watermarks([topic])[topic]
        lasts = {number: (high - 1, high) for number, (low, high) in watermarks.items() if low < high}
        return max((entry.timestamp for entry in self._read_ranges(topic, lasts)), default=None)

    def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """Next offsets, by topic and topic partition: two requests."""
        return self._list_offsets(self._topic_partitions(topics), OffsetSpec.latest())

    def watermarks(self, topics: Iterable[str]) -> dict[str, dict[int, Watermarks]]:
        """First and next offsets, by topic and topic partition."""
        topic_partitions = self._topic_partitions(topics)
        lows = self._list_offsets(topic_partitions, OffsetSpec.earliest())
        highs = self._list_offsets(topic_partitions, OffsetSpec.latest())
        watermarks: dict[str, dict[int, Watermarks]] = {}
        for topic, number in topic_partitions:
            watermarks.setdefault(topic, {})[number] = Watermarks(lows[topic, number], highs[topic, number])
        return watermarks

    def read(self, topic: str, since: ReadBound = None, until: ReadBound = None) -> Iterator[LogEntry]:
        """Records from ``since`` (inclusive) up to ``until`` (exclusive); in order within each topic partition.

        A time means the first record that was appended at or after it. ``until=None`` is the end when reading starts.
        Topic partitions that an offset mapping does not name are left out.
        """
        watermarks = self.watermarks([topic])[topic]
        starts = self.resolve_bound(topic, since, {number: low for number, (low, _) in watermarks.items()})
        ends = self.resolve_bound(topic, until, {number: high for number, (_, high) in watermarks.items()})
        ranges = {
            number: (max(starts[number], watermarks[number].low), min(ends[number], watermarks[number].high))
            for number in starts.keys() & ends.keys() & watermarks.keys()
        }
        return self._read_ranges(topic, {number: (low, high) for number, (low, high) in ranges.items() if low < high})

    def check_reachable(self) -> None:
        """Return when the broker answers. Raises Unavailable."""
        try:
            self._admin.list_topics(timeout=self._timeout_s)
        except KafkaException as error:
            raise platform_error(error, "asking the broker for its topics") from error

    def _topic_partitions(self, topics: Iterable[str]) -> list[tuple[str, int]]:
        # All topics: a request by name would make a broker with auto-creation create it, with the broker's retention.
        try:
            existing = self._admin.list_topics(timeout=self._timeout_s).topics
        except KafkaException as error:
            raise platform_error(error, "asking the broker for its topics") from error
        topic_partitions: list[tuple[str, int]] = []
        for topic in topics:
            if topic not in existing:
                servers = self._settings.kafka_bootstrap_servers
                raise Misconfigured(f"topic {topic} does not exist at {servers}: start the gateway, which creates it")
            topic_partitions += [(topic, number) for number in sorted(existing[topic].partitions)]
        return topic_partitions

    def _list_offsets(self, topic_partitions: list[tuple[str, int]], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        if not topic_partitions:
            return {}
        request = {TopicPartition(topic, number): spec for topic, number in topic_partitions}
        try:
            futures = self._admin.list_offsets(request, request_timeout=self._timeout_s)
            return {(found.topic, found.partition): future.result().offset for found, future in futures.items()}
        except KafkaException as error:
            raise platform_error(error, "asking the broker for offsets") from error

    def _committed_offsets(self, group: str, topic_partitions: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        request = [TopicPartition(topic, number) for topic, number in topic_partitions]
        action = f"asking for the offsets of group {group}"
        try:
            queried = self._group_consumer(group)
            with queried.lock:
                committed = queried.consumer.committed(request, timeout=self._timeout_s)
        except RuntimeError as error:  # closed between the look-up and the query
            raise Unavailable(f"{action}: this reader is closed") from error
        except KafkaException as error:
            raise platform_error(error, action) from error
        for failed in (offset for offset in committed if offset.error is not None):
            raise platform_error(failed.error, action)
        # A negative offset means: no commit.
        return {(offset.topic, offset.partition): offset.offset for offset in committed if offset.offset >= 0}

    def _group_consumer(self, group: str) -> _GroupConsumer:
        """Consumer with the group's id that never subscribes: it is no member, so it triggers no rebalance.

        Why not the admin client's ``list_consumer_group_offsets``: librdkafka 2.12 dereferences the group of a client
        without one when the coordinator is away (SIGSEGV in ``rd_kafka_cgrp_op``, librdkafka #5315). A dead broker
        ended every process that queried it.
        """
        with self._consumers_lock:
            if self._closed:
                raise Unavailable(f"asking for the offsets of group {group}: this reader is closed")
            if group not in self._group_consumers:
                self._group_consumers[group] = _GroupConsumer(self._create_consumer(group), threading.Lock())
            return self._group_consumers[group]

    def resolve_bound(self, topic: str, bound: ReadBound, default: dict[int, int]) -> dict[int, int]:
        """The offset of a bound in the topic partitions of ``default``, which has the offsets for ``None``."""
        if bound is None or not isinstance(bound, datetime):
            return default if bound is None else dict(bound)
        spec = OffsetSpec.for_timestamp(round(bound.timestamp() * 1000))
        found = self._list_offsets([(topic, number) for number in default], spec)
        ends = self._list_offsets([(topic, number) for number in default], OffsetSpec.latest())
        # -1: no record at or after that time.
        return {number: offset if offset >= 0 else ends[topic, number] for (_, number), offset in found.items()}

    def _read_ranges(self, topic: str, ranges: dict[int, tuple[int, int]]) -> Iterator[LogEntry]:
        if not ranges:
            return
        group = f"{self._settings.topic_prefix}read-{uuid.uuid4().hex}"  # required, never joined
        consumer = self._create_consumer(group)
        try:
            consumer.assign([TopicPartition(topic, number, low) for number, (low, _) in ranges.items()])
            open_ends = {number: high for number, (_, high) in ranges.items()}
            last_message_at = time.monotonic()
            while open_ends:
                # `consume` waits until its batch is full: a long timeout would be spent at the end of every read.
                messages = consumer.consume(_FETCH_RECORDS, _CONSUME_TIMEOUT_S)
                if not messages and time.monotonic() - last_message_at > self._timeout_s:
                    raise Unavailable(f"reading {topic}: the broker sent nothing for {self._timeout_s:.0f} s")
                for message in messages:
                    yield from _entry_before_end(topic, message, open_ends)
                last_message_at = time.monotonic() if messages else last_message_at
        finally:
            consumer.close()

    def _create_consumer(self, group: str) -> Any:
        return create_client(
            Consumer,
            client_config(self._settings)
            | {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 50,
            },
        )


def _entry_before_end(topic: str, message: Message, open_ends: dict[int, int]) -> Iterator[LogEntry]:
    """Yield the message if it lies before its topic partition's end; remove a reached end from ``open_ends``."""
    error, number = message.error(), message.partition()
    if error is not None and error.code() != _EOF:
        raise platform_error(error, f"reading {topic}")
    end = open_ends.get(number)
    if end is None:
        return
    if error is not None:  # end of the topic partition: missing records up to ``end`` were compacted or aborted
        del open_ends[number]
        return
    if message.offset() >= end - 1:
        del open_ends[number]
    if message.offset() < end:
        yield _to_entry(message)


def _to_entry(message: Message) -> LogEntry:
    key = message.key()
    _, millis = message.timestamp()
    return LogEntry(
        Position(topic=message.topic(), topic_partition=message.partition(), offset=message.offset()),
        key.decode(errors="replace") if key is not None else None,
        message.value() or b"",
        {name: value or b"" for name, value in message.headers() or ()},
        record_time(millis),
        key,
    )
