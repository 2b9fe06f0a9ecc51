"""The read side of the replay log: how far each group is, what is there, and any stretch of it read again.

Callers: backpressure and the live table (lag), freshness receipts (watermarks), reprocessing, dead letters and tests
(reading). Nothing here commits an offset or joins a group, so looking never disturbs a worker. Topics are given by
their names on the broker (``topics.topic_name``).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.events import Position
from mmplatform.kafka.connection import admin as open_admin
from mmplatform.kafka.connection import client_config, made, platform_error
from mmplatform.settings import Settings

_EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the underscore is librdkafka's mark of a client-side code
_FETCH_RECORDS: Final = 500
_CONSUME_S: Final = 0.05
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Bound = Mapping[int, int] | datetime | None
"""A place in a topic: an offset for each topic partition, or a record time; None is the beginning or the end."""


class Watermarks(NamedTuple):
    """What a topic partition holds: offsets ``low`` (first) to ``high`` (the one that the next record will get)."""

    low: int
    high: int


class Progress(NamedTuple):
    """How far a group is in a topic partition: the offset that it reads next, and the one after the last record."""

    next: int
    high: int


class Entry(NamedTuple):
    """A record as it lies on the log; ``raw_key`` is its key also where a foreign client's is no UTF-8."""

    position: Position
    key: str | None
    value: bytes
    headers: dict[str, bytes]
    timestamp: datetime
    raw_key: bytes | None = None


class ReplayLog:
    """Looks at the log. Thread-safe; holds one admin client, and one consumer for each group asked about.

    Every method raises Unavailable when the broker does not answer within ``timeout_s``, Misconfigured when a topic
    does not exist or may not be read.
    """

    def __init__(self, settings: Settings, *, timeout_s: float = 10.0) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._admin = open_admin(settings)  # kept: futures fail when their client is collected
        self._group_consumers: dict[str, Any] = {}
        self._opening = threading.Lock()

    def lag(self, group: str, topics: Iterable[str]) -> dict[str, dict[int, int]]:
        """Records behind, by topic and topic partition, for a group that reads from the earliest record.

        A group that never committed is behind by all that is there.
        """
        return {
            topic: {number: place.high - place.next for number, place in by_number.items()}
            for topic, by_number in self.progress(group, topics).items()
        }

    def progress(self, group: str, topics: Iterable[str]) -> dict[str, dict[int, Progress]]:
        """How far a group is, by topic and topic partition, as :meth:`lag` counts it."""
        there = self.watermarks(topics)
        committed = self._committed(group, [(topic, number) for topic, marks in there.items() for number in marks])
        return {
            topic: {
                number: Progress(min(max(committed.get((topic, number), marks.low), marks.low), marks.high), marks.high)
                for number, marks in by_number.items()
            }
            for topic, by_number in there.items()
        }

    def oldest(self, group: str, topic: str) -> datetime | None:
        """When the oldest record was written that the group is not done with; None: it is done with all."""
        progress = self.progress(group, [topic])[topic]
        firsts = {number: (place.next, place.next + 1) for number, place in progress.items() if place.next < place.high}
        return min((entry.timestamp for entry in self._stretches(topic, firsts)), default=None)

    def newest(self, topic: str) -> datetime | None:
        """When the newest record was written; None: there is none."""
        marks = self.watermarks([topic])[topic]
        lasts = {number: (mark.high - 1, mark.high) for number, mark in marks.items() if mark.low < mark.high}
        return max((entry.timestamp for entry in self._stretches(topic, lasts)), default=None)

    def watermarks(self, topics: Iterable[str]) -> dict[str, dict[int, Watermarks]]:
        """First and next offsets, by topic and topic partition."""
        places = self._topic_partitions(topics)
        lows = self._offsets(places, OffsetSpec.earliest())
        highs = self._offsets(places, OffsetSpec.latest())
        found: dict[str, dict[int, Watermarks]] = {}
        for topic, number in places:
            marks = Watermarks(lows[topic, number], highs[topic, number])
            found.setdefault(topic, {})[number] = marks
        return found

    def read(self, topic: str, since: Bound = None, until: Bound = None) -> Iterator[Entry]:
        """The records from ``since`` (inclusive) up to ``until`` (exclusive); in order within each topic partition.

        A time means: from, or up to, the first record at or after it. ``until=None`` is the end as it is when reading
        starts; a topic partition that an offset mapping does not name is left out.
        """
        marks = self.watermarks([topic])[topic]
        starts = self._bounds(topic, since, {number: mark.low for number, mark in marks.items()})
        ends = self._bounds(topic, until, {number: mark.high for number, mark in marks.items()})
        stretches = {
            number: (max(starts[number], marks[number].low), min(ends[number], marks[number].high))
            for number in starts.keys() & ends.keys() & marks.keys()
        }
        return self._stretches(topic, {n: (low, high) for n, (low, high) in stretches.items() if low < high})

    def reachable(self) -> None:
        """Return when the broker answers. Raises Unavailable."""
        try:
            self._admin.list_topics(timeout=self._timeout_s)
        except KafkaException as error:
            raise platform_error(error, "asking the broker for its topics") from error

    def _topic_partitions(self, topics: Iterable[str]) -> list[tuple[str, int]]:
        # Asked for by name, a topic that is missing would be created by brokers that do so, with their own retention.
        try:
            there = self._admin.list_topics(timeout=self._timeout_s).topics
        except KafkaException as error:
            raise platform_error(error, "asking the broker for its topics") from error
        places: list[tuple[str, int]] = []
        for topic in topics:
            if topic not in there:
                raise Misconfigured(
                    f"there is no topic {topic} at {self._settings.kafka}: start the gateway, it makes it"
                )
            places += [(topic, number) for number in sorted(there[topic].partitions)]
        return places

    def _offsets(self, places: list[tuple[str, int]], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        if not places:
            return {}
        request = {TopicPartition(topic, number): spec for topic, number in places}
        try:
            answers = self._admin.list_offsets(request, request_timeout=self._timeout_s)
            return {(place.topic, place.partition): future.result().offset for place, future in answers.items()}
        except KafkaException as error:
            raise platform_error(error, "asking the broker for offsets") from error

    def _committed(self, group: str, topic_partitions: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        request = [TopicPartition(topic, number) for topic, number in topic_partitions]
        doing = f"asking for the offsets of group {group}"
        try:
            answer = self._group_consumer(group).committed(request, timeout=self._timeout_s)
        except KafkaException as error:
            raise platform_error(error, doing) from error
        for failed in (place for place in answer if place.error is not None):
            raise platform_error(failed.error, doing)
        # A negative offset means: nothing committed here.
        return {(place.topic, place.partition): place.offset for place in answer if place.offset >= 0}

    def _group_consumer(self, group: str) -> Any:
        """A consumer that carries the group's id and never subscribes, so it is no member and disturbs nobody.

        The admin client's ``list_consumer_group_offsets`` would do without, but librdkafka 2.12 dereferences the
        group of a client that has none when the coordinator is away (SIGSEGV in ``rd_kafka_cgrp_op``, librdkafka
        #5315): a broker that died took every process that asked with it.
        """
        with self._opening:
            if group not in self._group_consumers:
                self._group_consumers[group] = self._consumer(group)
            return self._group_consumers[group]

    def _bounds(self, topic: str, bound: Bound, default: dict[int, int]) -> dict[int, int]:
        if bound is None:
            return default
        if not isinstance(bound, datetime):
            return dict(bound)
        spec = OffsetSpec.for_timestamp(round(bound.timestamp() * 1000))
        found = self._offsets([(topic, number) for number in default], spec)
        ends = self._offsets([(topic, number) for number in default], OffsetSpec.latest())
        # No record at or after that time: the end of the topic partition.
        return {number: offset if offset >= 0 else ends[topic, number] for (_, number), offset in found.items()}

    def _stretches(self, topic: str, stretches: dict[int, tuple[int, int]]) -> Iterator[Entry]:
        if not stretches:
            return
        consumer = self._consumer(f"{self._settings.topic_prefix}read-{uuid.uuid4().hex}")  # required, never joined
        try:
            consumer.assign([TopicPartition(topic, number, low) for number, (low, _) in stretches.items()])
            open_ends = {number: high for number, (_, high) in stretches.items()}
            heard = time.monotonic()
            while open_ends:
                # It waits for as many records as it may give, so a long wait here would be waited out at every end.
                messages = consumer.consume(_FETCH_RECORDS, _CONSUME_S)
                if not messages and time.monotonic() - heard > self._timeout_s:
                    raise Unavailable(f"reading {topic}: the broker sent nothing for {self._timeout_s:.0f} s")
                for message in messages:
                    yield from _within(topic, message, open_ends)
                heard = time.monotonic() if messages else heard
        finally:
            consumer.close()

    def _consumer(self, group: str) -> Any:
        return made(
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


def _within(topic: str, message: Message, open_ends: dict[int, int]) -> Iterator[Entry]:
    """The message when it lies before its topic partition's end; a reached end is taken out of ``open_ends``."""
    error, number = message.error(), message.partition()
    if error is not None and error.code() != _EOF:
        raise platform_error(error, f"reading {topic}")
    end = open_ends.get(number)
    if end is None:
        return
    if error is not None:  # the end of the topic partition: what is missing up to ``end`` was compacted or aborted
        del open_ends[number]
        return
    if message.offset() >= end - 1:
        del open_ends[number]
    if message.offset() < end:
        yield _entry(message)


def _entry(message: Message) -> Entry:
    key = message.key()
    _, millis = message.timestamp()
    return Entry(
        Position(topic=message.topic(), topic_partition=message.partition(), offset=message.offset()),
        key.decode(errors="replace") if key is not None else None,
        message.value() or b"",
        {name: value or b"" for name, value in message.headers() or ()},
        moment_of(millis),
        key,
    )


def moment_of(millis: int) -> datetime:
    """A record's time. What a foreign client wrote may lie outside the calendar: then its nearer end is given."""
    try:
        return _EPOCH + timedelta(milliseconds=millis)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if millis > 0 else datetime.min.replace(tzinfo=UTC)
