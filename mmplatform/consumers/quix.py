"""How our Quix applications are opened, and how a record comes out of them.

Measured: with Quix's default commit interval of 5 s the freshness gap is 2.8 s at p50 before any model runs; a short
interval and ``linger.ms=0`` bring a pass-through application to 32 ms (``benchmarks/log.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog
from quixstreams import Application
from quixstreams.models.topics import Topic
from quixstreams.models.topics.exceptions import TopicNotFoundError
from quixstreams.sinks.base import BaseSink, SinkBackpressureError

from mmplatform.errors import Busy, Misconfigured, Unavailable
from mmplatform.events import Position, utc_now
from mmplatform.ingest.kafka import connection
from mmplatform.ingest.topics import topic_name
from mmplatform.modalities import CALL
from mmplatform.pipeline.process import ConsumedRecord, shed_by
from mmplatform.settings import Settings

_log = structlog.get_logger(__name__)
POLL_S: Final = 0.05
"""How long a poll may hold up the next look at the clock, and so a checkpoint that is due."""

RETRY_S: Final = 1.0
"""How long a consumer pauses when a store or the broker does not answer."""

_KEEP_STATE: Final = frozenset({CALL.group})


def open_app(settings: Settings, *, group: str, commit_s: float, commit_every: int) -> Application:
    """A Quix application with its own state directory and static membership.

    It creates no topic (:func:`~mmplatform.ingest.topics.ensure_topics` has, with the retention that replay needs),
    but for the changelog of its state where it keeps one.
    """
    member = f"{settings.topic_prefix}{group}-{settings.instance}"
    return Application(
        broker_address=connection(settings),
        consumer_group=f"{settings.topic_prefix}{group}",
        auto_offset_reset="earliest",
        auto_create_topics=group in _KEEP_STATE,
        commit_interval=commit_s,
        commit_every=commit_every,
        consumer_poll_timeout=min(POLL_S, commit_s),
        state_dir=settings.data_dir / "state" / member,
        consumer_extra_config={
            "group.instance.id": member,
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 1_000,
            "max.poll.interval.ms": int(settings.max_poll_s * 1000),
            # A fetch is answered as soon as there is a byte: a longer wait costs no latency, a short one costs a core.
            "fetch.wait.max.ms": 250,
            "fetch.queue.backoff.ms": 5,
            "fetch.error.backoff.ms": 50,
        },
        producer_extra_config={"linger.ms": 0, "enable.idempotence": True, "acks": "all"},
        loglevel=None,  # our logging shows what it says; its own handler would say it twice, with errors' messages
    )


def open_topic(app: Application, settings: Settings, name: str) -> Topic:
    """One of our topics, as bytes: what does not parse is ours to name, not Quix's to raise.

    Raises:
        Misconfigured: it is not there.
    """
    full = topic_name(settings, name)
    try:
        return app.topic(
            full,
            key_deserializer="bytes",
            value_deserializer="bytes",
            key_serializer="bytes",
            value_serializer="bytes",
        )
    except TopicNotFoundError:
        raise Misconfigured(
            f"there is no topic {full} at {settings.kafka}: start the worker again, it makes it"
        ) from None


def unprefixed(settings: Settings, topic: str) -> str:
    """The name of a topic as the platform speaks of it: positions are the same whatever prefix a Kafka gives us."""
    return topic.removeprefix(settings.topic_prefix)


class BatchSink(BaseSink):
    """A micro-batch over all topic partitions of the application, handed to ``land`` at each checkpoint.

    Quix commits the offsets only after ``land`` returned. ``Busy`` and ``Unavailable`` become backpressure: the batch
    is dropped and read again from the log. Anything else ends the process, and the supervisor starts it anew.
    """

    def __init__(self, settings: Settings, land: Callable[[list[ConsumedRecord]], None]) -> None:
        super().__init__(on_client_connect_success=lambda: None)
        self._settings = settings
        self._land = land
        self._records: list[ConsumedRecord] = []

    def add(  # noqa: D102 - Quix's contract
        self,
        value: Any,
        key: Any,  # noqa: ARG002
        timestamp: int,  # noqa: ARG002
        headers: Any,
        topic: str,
        partition: int,
        offset: int,
    ) -> None:
        position = Position(topic=unprefixed(self._settings, topic), topic_partition=partition, offset=offset)
        self._records.append(ConsumedRecord(position, value, utc_now(), shed_by(headers)))

    def flush(self) -> None:  # noqa: D102 - Quix's contract
        records, self._records = self._records, []
        if not records:
            return
        try:
            self._land(records)
        except Busy as busy:
            _log.warning("busy: the micro-batch is read again", records=len(records), retry_after_s=busy.retry_after)
            raise SinkBackpressureError(retry_after=busy.retry_after) from busy
        except Unavailable as error:
            _log.warning("unavailable: the micro-batch is read again", records=len(records), reason=str(error))
            raise SinkBackpressureError(retry_after=RETRY_S) from error

    def on_paused(self) -> None:  # noqa: D102 - Quix's contract
        self._records.clear()
