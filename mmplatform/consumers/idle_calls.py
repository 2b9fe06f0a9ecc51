"""Idle watch: writes an idle ``call_end`` for a call whose source fell silent, so that its pending audio is derived.

The timeout is itself an event on the log. So the fold over a call stays a function of its events: a replay has the same
silence at the same position and derives the same utterances. The watch stores no state: at its start it reads the last
day of the topic. Two watches write the same event id, so that the end lands once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition

from mmplatform.artifacts import artifact_id
from mmplatform.errors import Rejected
from mmplatform.events import CallChunk, CallEnd, Event, decode_event, encode, utc_now
from mmplatform.kafka.connection import client_config
from mmplatform.kafka.headers import Pseudonyms, event_headers, open_pseudonyms
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.record_time import record_time
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import CALL
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)
LOOKBACK_S: Final = 86_400.0
"""A stack that was down for a day still finds the calls without an end."""

RESTART_DELAY_S: Final = 5.0
CHECK_INTERVAL_S: Final = 0.5
CAUGHT_UP_WITHIN_S: Final = 2.0
_END_OF_PARTITION: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the underscore marks a client-side code


class IdleCalls:
    """Open calls and the time of their last chunk. Pure: the time is an argument.

    A chunk arrives when its last sample was recorded, and the next one after its own duration. Only the time after that
    is silence of the source.
    """

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._open: dict[str, tuple[int, datetime, CallChunk]] = {}

    def observe(self, event: Event, topic_partition: int, logged_at: datetime | None = None) -> None:
        """Add one event of the log. ``logged_at``: when it was appended, by default when the gateway accepted it.

        A replayed chunk was accepted long ago, and the next one may come at once.
        """
        if isinstance(event, CallChunk):
            arrived_at = max(event.ingested_at, logged_at or event.ingested_at)
            self._open[event.conversation_key] = (topic_partition, arrived_at, event)
        elif isinstance(event, CallEnd):
            self._open.pop(event.conversation_key, None)

    def pop_due(self, now: datetime, caught_up: Collection[int]) -> list[CallEnd]:
        """The ends to write to the log, one for each time that a call falls silent.

        Args:
            now: the current time.
            caught_up: topic partitions that were read to their end: in the others, calls only appear silent.
        """
        silent = [
            call
            for topic_partition, arrived_at, call in self._open.values()
            if topic_partition in caught_up and (now - arrived_at).total_seconds() >= self._idle_s + call.duration_s
        ]
        for call in silent:
            del self._open[call.conversation_key]
        return [_idle_end(call, now) for call in silent]


def _idle_end(last: CallChunk, now: datetime) -> CallEnd:
    return CallEnd(
        # The same silence has the same id, whichever watch notices it.
        event_id=f"idle-{artifact_id('call_end', last.uid, 0)}",
        tenant=last.tenant,
        source=last.source,
        conversation_id=last.conversation_id,
        subject_id=last.subject_id,
        event_time=last.event_time,
        ingested_at=now,
        reason="idle",
    )


def watch_idle_calls(settings: Settings, producer: LogProducer) -> threading.Thread:
    """Follow the calls' topic on a daemon thread; retry while the broker does not answer."""

    def loop() -> None:
        while True:
            try:
                _follow(settings, producer)
            except Exception as error:  # noqa: BLE001 - without the watch, silent calls would stay pending for ever
                _log.warning("idle watch starts again", error=type(error).__name__)
            time.sleep(RESTART_DELAY_S)

    thread = threading.Thread(target=loop, name="idle-calls", daemon=True)
    thread.start()
    return thread


def _follow(settings: Settings, producer: LogProducer) -> None:
    topic = topic_name(settings, CALL.topic)
    consumer = Consumer(
        client_config(settings)
        | {"group.id": f"{settings.topic_prefix}idle-watch", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    try:
        consumer.assign(_partitions_since(consumer, topic, time.time() - LOOKBACK_S))
        send_end = partial(_send_end, producer, topic, open_pseudonyms(settings), settings.log_generation)
        _watch(consumer, IdleCalls(settings.call_idle_timeout_s), send_end)
    finally:
        consumer.close()


def _partitions_since(consumer: Any, topic: str, since_s: float) -> list[TopicPartition]:
    numbers = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    starts = [TopicPartition(topic, number, int(since_s * 1000)) for number in numbers]
    return list(consumer.offsets_for_times(starts, timeout=10))


def _watch(consumer: Any, calls: IdleCalls, send_end: Callable[[CallEnd], None]) -> None:
    checked_at = time.monotonic()
    caught_up: set[int] = set()
    while True:
        message = consumer.poll(CHECK_INTERVAL_S)
        if message is not None:
            _observe(calls, message, caught_up)
        if time.monotonic() - checked_at < CHECK_INTERVAL_S:
            continue
        checked_at = time.monotonic()
        for end in calls.pop_due(utc_now(), caught_up):
            send_end(end)
            _log.info("call idle", call_id=end.conversation_id)


def _observe(calls: IdleCalls, message: Any, caught_up: set[int]) -> None:
    if message.error() is not None:
        if message.error().code() == _END_OF_PARTITION:
            caught_up.add(message.partition())
        else:
            caught_up.clear()  # the broker disconnected: unread records are possible
        return
    if message.timestamp()[1] / 1000 < time.time() - CAUGHT_UP_WITHIN_S:
        caught_up.discard(message.partition())
    with suppress(Rejected):  # the deriver reports a record that does not parse
        calls.observe(decode_event(message.value()), message.partition(), record_time(message.timestamp()[1]))


def _send_end(producer: LogProducer, topic: str, pseudonyms: Pseudonyms, generation: int, end: CallEnd) -> None:
    headers = event_headers(end, pseudonyms, generation=generation)
    producer.send(topic, end.conversation_key, encode(end), headers=headers).result(timeout=30)
