"""How our Quix applications are opened, and how a record comes out of them.

Measured: with Quix's default commit interval of 5 s the freshness gap is 2.8 s at p50 before any model runs; a short
interval and ``linger.ms=0`` bring a pass-through application to 32 ms (``benchmarks/log.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, Final

import structlog
from confluent_kafka import TopicPartition
from quixstreams import Application
from quixstreams.models.topics import Topic
from quixstreams.models.topics.exceptions import TopicNotFoundError
from quixstreams.sinks.base import BaseSink, SinkBackpressureError

from mmplatform.errors import Busy, Misconfigured, Unavailable
from mmplatform.events import Position, utc_now
from mmplatform.kafka.connection import COMMON_CLIENT_CONFIG, quix_connection
from mmplatform.kafka.topics import count_topic_partitions, topic_name
from mmplatform.modalities import CALL
from mmplatform.pipeline.process import ConsumedRecord, parse_shed_header
from mmplatform.settings import Settings
from mmplatform.telemetry.readiness import ASSIGNMENT, DRAINING, STORE, Readiness

_log = structlog.get_logger(__name__)
MAX_POLL_WAIT_S: Final = 0.05
"""How long a poll may hold up the next look at the clock, and so a checkpoint that is due."""

BACKPRESSURE_RETRY_S: Final = 1.0
"""How long a consumer pauses when a store or the broker does not answer."""

_QUIX_METHODS: Final = ("stop", "_on_assign", "_on_revoke", "_on_lost", "_process_message")
_QUIX_ATTRIBUTES: Final = ("_topic_manager", "_consumer", "_state_manager")

_STATEFUL_GROUPS: Final = frozenset({CALL.group})


class WorkerApplication(Application):
    """One that tells how it stands, and forgets what it paused when topic partitions go away.

    It tells when it has its topic partitions, that its loop goes on and when it drains. Quix has no hook for that: the
    methods are its own callbacks, each of which still does all of its work.

    Quix forgets what backpressure had paused when topic partitions are taken away, and trusts that librdkafka does too.
    It does not: a topic partition that comes back is still paused there, nobody resumes it, and the worker reads
    nothing for ever (Quix 3.28, librdkafka 2.12).

    And a SIGTERM that comes while Quix subscribes is not lost: Quix listens to the signal by then, and says only
    afterwards that it runs, which takes the stop back (Quix 3.28). So one of ours runs once.
    """

    readiness: Readiness
    max_poll_s: float
    partition_count = 0
    """Topic partitions that it read when it took its name."""

    _restoring_state = False
    _stop_requested = False

    def stop(self, fail: bool = False) -> None:  # noqa: FBT001, FBT002 - Quix's contract
        """Finish what is in hand, commit it, and end."""
        self._stop_requested = True
        self.readiness.block(DRAINING, "finishes what it has in hand")
        super().stop(fail)

    def _on_assign(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        super()._on_assign(consumer, topic_partitions)
        if self._state_manager.recovery_required:
            # That may take long, and Quix itself ends it when it hangs.
            self._restoring_state = True
            self.readiness.block(ASSIGNMENT, "reads the state of its topic partitions from the changelog")
            self.readiness.pause_heartbeat()
        else:
            # None is an answer too: with more workers than topic partitions one stands by, and is ready to take over.
            self.readiness.unblock(ASSIGNMENT)

    def _process_message(self, dataframe_composed: Any) -> None:
        """Called again and again once the state is there, with a record or without."""
        self.readiness.heartbeat(self.max_poll_s)
        if self._stop_requested:
            super().stop()
            return
        if self._restoring_state:
            self._restoring_state = False
            self.readiness.unblock(ASSIGNMENT)
        super()._process_message(dataframe_composed)  # type: ignore[no-untyped-call]

    def _on_revoke(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        self.readiness.block(ASSIGNMENT, "topic partitions were taken away, and others are not assigned yet")
        super()._on_revoke(consumer, topic_partitions)  # lands a last time, which may pause once more
        self._release(topic_partitions)

    def _on_lost(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        self.readiness.block(ASSIGNMENT, "topic partitions were lost: the broker heard nothing of us for too long")
        super()._on_lost(consumer, topic_partitions)
        self._release(topic_partitions)

    def _release(self, topic_partitions: Sequence[TopicPartition]) -> None:
        """Forget what was paused, and the store that did not take it: others read it now, and ours may be silent.

        Only the topics we read; those of changelogs are paused and resumed by Quix, through all its recovery.
        """
        self.readiness.unblock(STORE)
        self._restoring_state = False
        topics = self._topic_manager.non_changelog_topics
        self._consumer.resume([partition for partition in topic_partitions if partition.topic in topics])


def open_app(
    settings: Settings,
    *,
    group: str,
    topics: Sequence[str],
    commit_interval_s: float,
    commit_every: int,
    readiness: Readiness | None = None,
) -> WorkerApplication:
    """A Quix application with its own state directory and static membership.

    A static member that comes back under its name gets the share that it had, and nobody looks whether ``topics`` have
    grown meanwhile: topic partitions that are new would be read by nobody until somebody joins or leaves. So the name
    says how many there were when it was taken. Behind a growth it is another: the group shares anew, once the session
    of the name before it is over.

    It creates no topic (:func:`~mmplatform.kafka.topics.ensure_topics` has, with the retention that replay needs),
    but for the changelog of its state where it keeps one.

    Raises:
        Unavailable: the broker does not answer.
        Misconfigured: no address, or a Quix that is not the one we know.
    """
    member = f"{settings.topic_prefix}{group}-{settings.worker_instance_id}"
    partition_count = count_topic_partitions(settings, topics)
    app = WorkerApplication(
        broker_address=quix_connection(settings),
        consumer_group=f"{settings.topic_prefix}{group}",
        auto_offset_reset="earliest",
        auto_create_topics=group in _STATEFUL_GROUPS,
        commit_interval=commit_interval_s,
        commit_every=commit_every,
        consumer_poll_timeout=min(MAX_POLL_WAIT_S, commit_interval_s),
        state_dir=settings.data_dir / "state" / member,
        consumer_extra_config={
            **COMMON_CLIENT_CONFIG,
            "group.instance.id": f"{member}-of-{partition_count}",
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 1_000,
            "max.poll.interval.ms": int(settings.kafka_max_poll_interval_s * 1000),
            # A fetch is answered as soon as there is a byte: a longer wait costs no latency, a short one costs a core.
            "fetch.wait.max.ms": 250,
            "fetch.queue.backoff.ms": 5,
            "fetch.error.backoff.ms": 50,
        },
        producer_extra_config={**COMMON_CLIENT_CONFIG, "linger.ms": 0, "enable.idempotence": True, "acks": "all"},
        loglevel=None,  # our logging shows what it says; its own handler would say it twice, with errors' messages
    )
    app.partition_count = partition_count
    app.readiness = readiness or Readiness()
    app.max_poll_s = settings.kafka_max_poll_interval_s
    check_quix_internals(Application, app)
    return app


def check_partition_count(app: WorkerApplication, settings: Settings, topics: Sequence[str]) -> None:
    """For a successor whose turn comes: was its name taken before its topics grew?

    Raises:
        Unavailable: it was; a new start takes another.
    """
    count = count_topic_partitions(settings, topics)
    if count != app.partition_count:
        raise Unavailable(
            f"{', '.join(topics)} grew from {app.partition_count} to {count} topic partitions meanwhile: starts anew"
        )


def check_quix_internals(library: type, app: Application) -> None:
    """Quix promises nothing about what we override and use of its own: without it we would silently lose records.

    Raises:
        Misconfigured: this release of Quix has it no more.
    """
    missing = [name for name in _QUIX_METHODS if not callable(getattr(library, name, None))]
    missing += [name for name in _QUIX_ATTRIBUTES if not hasattr(app, name)]
    if missing:
        raise Misconfigured(
            f"quixstreams {version('quixstreams')} has no {', '.join(missing)}: install the release that"
            " pyproject.toml names"
        )


def open_topic(app: Application, settings: Settings, name: str) -> Topic:
    """One of our topics, as bytes: what does not parse is ours to name, not Quix's to raise.

    Raises:
        Misconfigured: it is not there.
    """
    full_name = topic_name(settings, name)
    try:
        return app.topic(
            full_name,
            key_deserializer="bytes",
            value_deserializer="bytes",
            key_serializer="bytes",
            value_serializer="bytes",
        )
    except TopicNotFoundError:
        raise Misconfigured(
            f"there is no topic {full_name} at {settings.kafka_bootstrap_servers}: start the worker again, it makes it"
        ) from None


def strip_topic_prefix(settings: Settings, topic: str) -> str:
    """The name of a topic as the platform speaks of it: positions are the same whatever prefix a Kafka gives us."""
    return topic.removeprefix(settings.topic_prefix)


class BatchSink(BaseSink):
    """A micro-batch over all topic partitions of the application, handed to ``land`` at each checkpoint.

    Quix commits the offsets only after ``land`` returned. ``Busy`` and ``Unavailable`` become backpressure: the batch
    is dropped and read again from the log. Anything else ends the process, and the supervisor starts it anew.
    """

    def __init__(
        self,
        settings: Settings,
        land: Callable[[list[ConsumedRecord]], None],
        readiness: Readiness | None = None,
    ) -> None:
        super().__init__(on_client_connect_success=lambda: None)
        self._settings = settings
        self._land = land
        self._readiness = readiness or Readiness()
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
        position = Position(topic=strip_topic_prefix(self._settings, topic), topic_partition=partition, offset=offset)
        self._records.append(ConsumedRecord(position, value, utc_now(), parse_shed_header(headers)))

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
            self._readiness.block(STORE, f"unavailable: {error}")
            raise SinkBackpressureError(retry_after=BACKPRESSURE_RETRY_S) from error
        self._readiness.unblock(STORE)

    def on_paused(self) -> None:  # noqa: D102 - Quix's contract
        self._records.clear()
