"""Producer of the replay log: idempotent, acknowledged by all replicas, usable from asyncio and from plain code.

``send`` queues a record in librdkafka and returns a future; the producer's own thread serves the acknowledgements. A
future with a result is a record that the broker has on disk. The producer sends the ingestion time as the record's
timestamp. The platform's topics have LogAppendTime, so the broker replaces it by the time of the append: retention and
replay by time use that one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from mmplatform.errors import Busy, Unavailable
from mmplatform.events import Position, utc_now
from mmplatform.kafka.connection import client_config, create_client, platform_error
from mmplatform.kafka.record_time import record_time
from mmplatform.settings import Settings

_POLL_INTERVAL_S: Final = 0.1
_QUEUE_FULL_WAIT_S: Final = 0.005
_MAX_QUEUE_RECORDS: Final = 50_000
_MAX_QUEUE_KB: Final = 128 * 1024

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record to write; ``topic`` is the name on the broker, ``timestamp`` (now by default) is for CreateTime only."""

    topic: str
    key: str | bytes | None
    value: bytes
    timestamp: datetime | None = None
    headers: Mapping[str, bytes] = field(default_factory=dict)


class LogProducer:
    """Writes records. Thread-safe; close it when done, which flushes the queue.

    Args:
        settings: the broker's address and login.
        timeout_s: delivery timeout of a record; then its future fails with ``Unavailable``. The record may still be on
            the log (its acknowledgement got lost): a repeated send must be idempotent by event id.
        linger_s: wait for further records before a batch is sent.
    """

    def __init__(self, settings: Settings, *, timeout_s: float = 10.0, linger_s: float = 0.001) -> None:
        self._config = client_config(settings) | {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": linger_s * 1000,
            "delivery.timeout.ms": int(timeout_s * 1000),
            "request.timeout.ms": int(min(timeout_s, 30.0) * 1000),
            "compression.type": "lz4",
            # The partitioner of Java's and Quix's producers: a conversation has one topic partition for every writer.
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": _MAX_QUEUE_RECORDS,
            "queue.buffering.max.kbytes": _MAX_QUEUE_KB,
            # The platform's topics exist (ensure_topics); a missing one is reported within this time.
            "topic.metadata.propagation.max.ms": int(min(timeout_s, 5.0) * 1000),
        }
        self._timeout_s = timeout_s
        self._renewal_lock = threading.Lock()
        self._producer: Any = create_client(Producer, self._config)
        self._retired: list[Any] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="log-producer", daemon=True)
        self._thread.start()

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes,
        *,
        timestamp: datetime | None = None,
        headers: Mapping[str, bytes] | None = None,
        on_logged: Callable[[datetime], None] | None = None,
    ) -> Future[Position]:
        """Queue a record; the future yields its position once every replica has it, or raises the error.

        From asyncio: ``await asyncio.wrap_future(producer.send(...))``, or :meth:`publish`.

        Args:
            topic: its name on the broker.
            key: decides the topic partition; None: any.
            value: of the record.
            timestamp: replaced by the broker's where the topic has append times.
            headers: of the record.
            on_logged: called with the record's time on the log before the future yields.

        Raises:
            Busy: the queue is full (the broker is slower than the sources).
            Unavailable: the producer is closed.
        """
        if self._closed.is_set():
            raise Unavailable(f"writing to {topic}: this producer is closed")
        future: Future[Position] = Future()
        # A running future cannot be cancelled: the record is sent even if its sender is cancelled.
        future.set_running_or_notify_cancel()
        producer = self._producer

        def acknowledged(error: KafkaError | None, message: Message) -> None:
            if error is None and on_logged is not None:
                on_logged(record_time(message.timestamp()[1]))
            self._resolve(future, producer, topic, error, message)

        try:
            producer.produce(
                topic,
                key=key.encode() if isinstance(key, str) else key,
                value=value,
                timestamp=_millis(timestamp or utc_now()),
                headers=list(headers.items()) if headers else None,
                on_delivery=acknowledged,
            )
        except BufferError:
            raise platform_error(KafkaError(KafkaError._QUEUE_FULL), f"writing to {topic}") from None  # noqa: SLF001
        except KafkaException as error:
            self._renew_if_fatal(error.args[0], producer)
            raise platform_error(error, f"writing to {topic}") from error
        return future

    async def publish(
        self,
        topic: str,
        key: str | None,
        value: bytes,
        *,
        timestamp: datetime | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Position:
        """:meth:`send` and await. Raises Busy, Unavailable, TooLarge, Misconfigured."""
        return await asyncio.wrap_future(self.send(topic, key, value, timestamp=timestamp, headers=headers))

    def send_all(self, records: Iterable[LogRecord]) -> list[Position]:
        """Write records, in order, and wait until all are acknowledged; for plain (not asyncio) code.

        Waits while the queue is full. When some fail, others may be on the log: repeat the whole call.

        Raises:
            Unavailable: the broker did not acknowledge in time.
            TooLarge: a record is larger than the broker accepts.
            Misconfigured: a topic does not exist, or may not be written.
        """
        pending: list[Future[Position]] = []
        for record in records:
            pending.append(self._enqueue(record, pending))
        return [self._wait_for(future) for future in pending]

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until every queued record is acknowledged or failed; False when some are still pending."""
        return bool(self._producer.flush(self._timeout_s if timeout_s is None else timeout_s) == 0)

    def close(self) -> None:
        """Flush, stop the thread, fail the remaining records with ``Unavailable``. Idempotent."""
        if self._closed.is_set():
            return
        self._closed.set()
        if not self.flush():
            _log.warning("log_producer_closed_with_records_left", records=len(self._producer))
            self._producer.purge()
            self._producer.flush(_POLL_INTERVAL_S)
        self._thread.join()
        self._poll_retired()

    def _enqueue(self, record: LogRecord, pending: list[Future[Position]]) -> Future[Position]:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return self.send(
                    record.topic, record.key, record.value, timestamp=record.timestamp, headers=record.headers
                )
            except Busy:
                oldest = next((future for future in pending if not future.done()), None)
                if oldest is not None:
                    self._wait_for(oldest)
                elif time.monotonic() > deadline:
                    raise
                else:
                    # Other senders fill it, or librdkafka has not yet removed the acknowledged records.
                    time.sleep(_QUEUE_FULL_WAIT_S)

    def _wait_for(self, future: Future[Position]) -> Position:
        # librdkafka fails the record itself after timeout_s; the margin guards against a dead thread.
        try:
            return future.result(self._timeout_s + 5.0)
        except TimeoutError:
            raise Unavailable("writing to the log: no answer from the producer's thread") from None

    def _resolve(
        self, future: Future[Position], producer: Any, topic: str, error: KafkaError | None, message: Message
    ) -> None:
        if error is None:
            future.set_result(Position(topic=topic, topic_partition=message.partition(), offset=message.offset()))
            return
        self._renew_if_fatal(error, producer)
        future.set_exception(platform_error(error, f"writing to {topic}"))

    def _renew_if_fatal(self, error: KafkaError, failed: Any) -> None:
        """Replace the producer after a fatal error (a broker that lost its data, a fenced epoch)."""
        if not error.fatal() and error.code() != KafkaError._FATAL:  # noqa: SLF001
            return
        with self._renewal_lock:
            if self._producer is failed:
                _log.error("log_producer_renewed", reason=error.str())
                self._retired.append(failed)
                self._producer = create_client(Producer, self._config)

    def _serve(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(_POLL_INTERVAL_S)
            self._poll_retired()

    def _poll_retired(self) -> None:
        """Serve the delivery reports of retired producers; librdkafka fails their pending records itself."""
        for retired in list(self._retired):
            retired.poll(0)
            if not len(retired):
                self._retired.remove(retired)


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
