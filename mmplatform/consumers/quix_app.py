"""Quix applications of the workers: a sink with a pace of its own decides before each checkpoint when it lands.

Measured: with Quix's default commit interval of 5 s the freshness gap is 2.8 s at p50 before any model runs; a short
interval and ``linger.ms=0`` bring a pass-through application to 32 ms (``benchmarks/replay_log.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, Final, Protocol

import structlog
from confluent_kafka import TopicPartition
from quixstreams import Application
from quixstreams.models.topics import Topic

from mmplatform.errors import Misconfigured, Unavailable
from mmplatform.kafka.connection import COMMON_CLIENT_CONFIG, quix_connection
from mmplatform.kafka.topics import count_topic_partitions, topic_name
from mmplatform.modalities import CALL, CHAT
from mmplatform.settings import Settings
from mmplatform.telemetry.readiness import ASSIGNMENT, DRAINING, STORE, Readiness

_log = structlog.get_logger(__name__)
MAX_POLL_WAIT_S: Final = 0.05
"""Maximum time of a poll, by which it delays a checkpoint that is due."""

_QUIX_METHODS: Final = ("stop", "_on_assign", "_on_revoke", "_on_lost", "_process_message")
_QUIX_ATTRIBUTES: Final = ("_topic_manager", "_consumer", "_state_manager", "_processing_context", "_config")

_STATEFUL_GROUPS: Final = frozenset({CHAT.group, CALL.group})


class PacedSink(Protocol):
    """Sink that lands before the checkpoint, or asks for one."""

    @property
    def lands_when_idle(self) -> bool:
        """True while it lands as soon as nothing more waits: the next poll must not wait."""

    def after_poll(self) -> bool:
        """Called after each poll, with a record or without; true when the checkpoint is due."""


class WorkerApplication(Application):
    """Quix application that reports readiness, and resumes paused topic partitions when they are revoked.

    It reports its assignment, the heartbeat of its loop, and draining. Quix has no hook for that: the methods override
    its callbacks, and call each of them.

    When topic partitions are revoked, Quix forgets which of them backpressure had paused, and expects the same of
    librdkafka. But librdkafka keeps the pause: when the topic partition is assigned again, it stays paused, and the
    worker reads nothing for ever (Quix 3.28, librdkafka 2.12).

    A SIGTERM that arrives while Quix subscribes is not lost. Quix handles the signal by then, but sets its running flag
    afterwards, which undoes the stop (Quix 3.28). So the first iteration of the loop stops again.
    """

    readiness: Readiness
    max_poll_s: float
    partition_count = 0
    """Topic partitions of its topics when its member id was chosen."""

    on_rebalance: Callable[[], None] | None = None
    """Called when topic partitions come or go: what is remembered of them may be out of date."""

    on_assigned: Callable[[frozenset[int]], None] | None = None
    """Called with the topic partitions that the worker has, once their state is restored."""

    on_checkpoint: Callable[[], None] | None = None
    """Called when everything that was processed is committed, and what it produced acknowledged."""

    sink: PacedSink | None = None
    """Decides when its records are landed; without one, Quix's checkpoint alone does."""

    _restoring_state = False
    _stop_requested = False
    _assigned: frozenset[int] = frozenset()
    _reported: frozenset[int] | None = None
    _checkpoint: Any = None

    def stop(self, fail: bool = False) -> None:  # noqa: FBT001, FBT002 - Quix's contract
        """Finish the current micro-batch, commit it, and end."""
        self._stop_requested = True
        self.readiness.block(DRAINING, "finishes its last micro-batch")
        super().stop(fail)

    def _on_assign(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        super()._on_assign(consumer, topic_partitions)
        self._assigned |= self._consumed(topic_partitions)
        self._report_rebalance()
        if self._state_manager.recovery_required:
            # This may take long, and Quix itself ends a recovery that hangs.
            self._restoring_state = True
            self.readiness.block(ASSIGNMENT, "reads the state of its topic partitions from the changelog")
            self.readiness.pause_heartbeat()
        else:
            # No topic partitions is an assignment too: a spare worker is ready to take over.
            self.readiness.unblock(ASSIGNMENT)

    def _process_message(self, dataframe_composed: Any) -> None:
        """Called in each iteration once the state is restored, with a record or without."""
        self.readiness.heartbeat(self.max_poll_s)
        if self._stop_requested:
            super().stop()
            return
        if self._restoring_state:
            self._restoring_state = False
            self.readiness.unblock(ASSIGNMENT)
        self._report_progress()
        if self.sink is None:
            super()._process_message(dataframe_composed)  # type: ignore[no-untyped-call]
            return
        self._config = self._hurried_config if self.sink.lands_when_idle else self._patient_config
        super()._process_message(dataframe_composed)  # type: ignore[no-untyped-call]
        if self.sink.after_poll():
            self._processing_context.commit_checkpoint(force=True)

    def pace_by(self, sink: PacedSink) -> None:
        """Let the sink decide when its records are landed."""
        self.sink = sink
        self._patient_config = self._config
        self._hurried_config = self._config.copy(consumer_poll_timeout=0.0)

    def _on_revoke(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        self.readiness.block(ASSIGNMENT, "topic partitions were revoked, and others are not assigned yet")
        super()._on_revoke(consumer, topic_partitions)  # lands the last micro-batch, which may pause again
        self._release(topic_partitions)

    def _on_lost(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        self.readiness.block(ASSIGNMENT, "topic partitions were lost: the broker received no heartbeat for too long")
        super()._on_lost(consumer, topic_partitions)
        # Another worker reads from the committed offsets: our position and the records behind it count no longer.
        self._processing_context.init_checkpoint()  # type: ignore[no-untyped-call]
        for sink in self._processing_context.sink_manager.sinks:
            sink.on_paused()  # type: ignore[no-untyped-call]
        self._release(topic_partitions)

    def _release(self, topic_partitions: Sequence[TopicPartition]) -> None:
        """Resume paused topic partitions and unblock the store: another worker reads them now.

        Only consumed topics: Quix pauses and resumes those of changelogs during its recovery.
        """
        self.readiness.unblock(STORE)
        self._restoring_state = False
        self._report_rebalance()
        self._assigned -= self._consumed(topic_partitions)
        topics = self._topic_manager.non_changelog_topics
        self._consumer.resume([partition for partition in topic_partitions if partition.topic in topics])

    def _consumed(self, topic_partitions: Sequence[TopicPartition]) -> frozenset[int]:
        """Numbers of those that are no changelog's."""
        topics = self._topic_manager.non_changelog_topics
        return frozenset(partition.partition for partition in topic_partitions if partition.topic in topics)

    def _report_progress(self) -> None:
        """Tell of a new assignment, and of a checkpoint since the last record: Quix then begins another."""
        checkpoint = self._processing_context.checkpoint
        if self._reported is not self._assigned:
            self._reported = self._assigned
            if not checkpoint.empty():  # the poll that brought the assignment may have brought a record too
                self._processing_context.commit_checkpoint(force=True)
                checkpoint = self._processing_context.checkpoint
            if self.on_assigned is not None:
                self.on_assigned(self._assigned)
        elif checkpoint is not self._checkpoint and self.on_checkpoint is not None:
            self.on_checkpoint()
        self._checkpoint = checkpoint

    def _report_rebalance(self) -> None:
        if self.on_rebalance is not None:
            self.on_rebalance()


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

    A static member that rejoins under its id gets its old assignment, and the coordinator does not check whether
    ``topics`` have grown: new topic partitions would have no reader until a member joins or leaves. So the member id
    includes the number of topic partitions. After they grow, the id is another: the group rebalances once the session
    of the old id is over.

    It creates no topic (:func:`~mmplatform.kafka.topics.ensure_topics` does, with the retention that replay needs),
    except the changelog of its state.

    Raises:
        Unavailable: the broker does not answer.
        Misconfigured: no address, or an unknown release of Quix.
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
            # The broker answers a fetch at the first byte: a longer wait costs no latency, a short one costs a core.
            # But newly assigned topic partitions are fetched when the wait is over: not longer than a rebalance.
            "fetch.wait.max.ms": 500,
            "fetch.queue.backoff.ms": 5,
            "fetch.error.backoff.ms": 50,
        },
        producer_extra_config={**COMMON_CLIENT_CONFIG, "linger.ms": 0, "enable.idempotence": True, "acks": "all"},
        loglevel=None,  # Quix logs through our handler; its own would log twice, with errors' messages
    )
    app.partition_count = partition_count
    app.readiness = readiness or Readiness()
    app.max_poll_s = settings.kafka_max_poll_interval_s
    check_quix_internals(Application, app)
    return app


def check_partition_count(app: WorkerApplication, settings: Settings, topics: Sequence[str]) -> None:
    """Check that the topics of a successor have not grown since it chose its member id.

    Raises:
        Unavailable: they have; a restart chooses another id.
    """
    count = count_topic_partitions(settings, topics)
    if count != app.partition_count:
        raise Unavailable(
            f"{', '.join(topics)} grew from {app.partition_count} to {count} topic partitions meanwhile: restarts"
        )


def check_quix_internals(library: type, app: Application) -> None:
    """Check that Quix still has the internals in use here: without them records would be lost silently.

    Raises:
        Misconfigured: this release of Quix lacks one.
    """
    missing = [name for name in _QUIX_METHODS if not callable(getattr(library, name, None))]
    missing += [name for name in _QUIX_ATTRIBUTES if not hasattr(app, name)]
    if missing:
        raise Misconfigured(
            f"quixstreams {version('quixstreams')} has no {', '.join(missing)}: install the release that"
            " pyproject.toml names"
        )


def open_topic(app: Application, settings: Settings, name: str) -> Topic:
    """One of the platform's topics, as bytes, so that the worker and not Quix handles a record that does not parse.

    Raises:
        Misconfigured: the topic is missing.
        Unavailable: the broker does not answer.
    """
    full_name = topic_name(settings, name)
    # Quix itself would make it for a group with a changelog, with the broker's own retention.
    if not count_topic_partitions(settings, [name]):
        raise Misconfigured(
            f"there is no topic {full_name} at {settings.kafka_bootstrap_servers}: restart the worker, which creates it"
        )
    return app.topic(
        full_name,
        key_deserializer="bytes",
        value_deserializer="bytes",
        key_serializer="bytes",
        value_serializer="bytes",
    )
