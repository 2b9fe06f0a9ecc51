"""Batch sinks: collect the records of all topic partitions, and land them at each checkpoint of Quix or before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog
from quixstreams.sinks.base import BaseSink, SinkBackpressureError

from mmplatform.errors import Busy, Unavailable
from mmplatform.events import Position, utc_now
from mmplatform.kafka.headers import log_generation
from mmplatform.kafka.record_time import record_time
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.pipeline.shedding import parse_shed_header
from mmplatform.settings import Settings
from mmplatform.telemetry.readiness import STORE, Readiness

_log = structlog.get_logger(__name__)
BACKPRESSURE_RETRY_S: Final = 1.0
"""Pause of a consumer when a store or the broker does not answer."""


def strip_topic_prefix(settings: Settings, topic: str) -> str:
    """The name of a topic without its prefix: positions do not depend on the prefix."""
    return topic.removeprefix(settings.topic_prefix)


def log_position(settings: Settings, topic: str, topic_partition: int, offset: int) -> Position:
    """The position of a record of one of the platform's topics, in the log's first generation."""
    return Position(topic=strip_topic_prefix(settings, topic), topic_partition=topic_partition, offset=offset)


def consumed_record(position: Position, value: bytes | None, timestamp: int, headers: Any) -> ConsumedRecord:
    """A record as Quix passes it, in the generation that its header names; ``timestamp`` in milliseconds since 1970."""
    named = {
        name: header if isinstance(header, bytes) else str(header or "").encode() for name, header in headers or ()
    }
    if generation := log_generation(named):
        position = position.model_copy(update={"generation": generation})
    return ConsumedRecord(position, value, utc_now(), parse_shed_header(headers), named, record_time(timestamp))


class BatchSink(BaseSink):
    """Micro-batch over all topic partitions of the application, passed to ``land`` at each checkpoint.

    Quix commits the offsets only after ``land`` returned. ``Busy`` and ``Unavailable`` become backpressure: the batch
    is dropped and consumed again. Any other error ends the process, and the supervisor restarts it.
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
        self._failure: Busy | Unavailable | None = None
        self._came = False

    def add(  # noqa: D102 - Quix's contract
        self,
        value: Any,
        key: Any,  # noqa: ARG002
        timestamp: int,
        headers: Any,
        topic: str,
        partition: int,
        offset: int,
    ) -> None:
        position = log_position(self._settings, topic, partition, offset)
        self.accept(consumed_record(position, value, timestamp, headers))

    def accept(self, record: ConsumedRecord) -> None:
        """Keep a record until it is landed."""
        self._records.append(record)
        self._came = True

    @property
    def pending(self) -> int:
        """Records that are kept."""
        return len(self._records)

    def land_all(self) -> None:
        """Land what is kept. Raises Busy, Unavailable: then it is dropped, since it is consumed again.

        On a revoke Quix flushes on a thread, and leaves that alone when it takes too long: records that come meanwhile
        belong to the next batch.
        """
        records, self._records = self._records, []
        self._land(records)

    def clear(self) -> None:
        """Drop what is kept: it is consumed again."""
        self._records = []

    def try_landing(self, land: Callable[[], None]) -> bool:
        """Land before the checkpoint; false when that failed: the checkpoint is due, and becomes backpressure."""
        try:
            land()
        except (Busy, Unavailable) as error:
            self._failure = error
            return False
        self._readiness.unblock(STORE)
        return True

    def flush(self) -> None:  # noqa: D102 - Quix's contract
        failure, self._failure = self._failure, None
        pending = self.pending
        if failure is None and not pending:
            return
        try:
            if failure is not None:
                self.clear()
                raise failure
            self.land_all()
        except Busy as busy:
            _log.warning("busy: the micro-batch is read again", records=pending, retry_after_s=busy.retry_after)
            raise SinkBackpressureError(retry_after=busy.retry_after) from busy
        except Unavailable as error:
            _log.warning("unavailable: the micro-batch is read again", records=pending, reason=str(error))
            self._readiness.block(STORE, f"unavailable: {error}")
            raise SinkBackpressureError(retry_after=BACKPRESSURE_RETRY_S) from error
        self._readiness.unblock(STORE)

    def on_paused(self) -> None:  # noqa: D102 - Quix's contract
        self._failure = None
        self.clear()


class EagerSink(BatchSink):
    """Lands as soon as nothing more waits: one event alone at rest, and growing micro-batches under load.

    What arrives while a micro-batch is landed waits for the next one. The offsets are committed at Quix's checkpoint:
    after a crash the events since then are derived again, to the same ids and versions.
    """

    @property
    def lands_when_idle(self) -> bool:
        """True while something is kept."""
        return bool(self._records)

    def after_poll(self) -> bool:
        """Land what is kept when the poll brought nothing more; true when that failed."""
        came, self._came = self._came, False
        if came or not self.pending:
            return False
        return not self.try_landing(self.land_all)
