"""Batch sink: collects the records of all topic partitions and lands them at each checkpoint of Quix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog
from quixstreams.sinks.base import BaseSink, SinkBackpressureError

from mmplatform.errors import Busy, Unavailable
from mmplatform.events import Position, utc_now
from mmplatform.kafka.headers import log_generation
from mmplatform.kafka.reader import record_time
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
        self._records.append(consumed_record(position, value, timestamp, headers))

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
