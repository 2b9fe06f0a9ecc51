"""Progress reporter of a deriver: writes to the progress topic how far it is, at once where it is further.

What a record says is a fact, of any writer: an event counts as derived when its outputs are acknowledged, and the ends
of the artifacts topic are asked for afterwards, so that they lie behind all outputs. The times are those of the broker.
Where no event waits, completeness reaches to the append of the record before: the broker was asked for the end of the
events behind it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import structlog

from mmplatform.errors import PlatformError
from mmplatform.events import Position, encode
from mmplatform.kafka.producer import LogProducer
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, PROGRESS_TOPIC, ModalitySpec
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.progress import MAX_OPEN_CALLS, OpenCall, Progress
from mmplatform.settings import Settings
from mmplatform.telemetry.outage_log import OutageLog

_log = structlog.get_logger(__name__)
FULL_INTERVAL_S: Final = 1.0
"""Time between two reports of all topic partitions: those that are idle become complete by them."""

MIN_INTERVAL_S: Final = 0.1
"""Pause between two reports. Under load each costs two requests, and a small record for each one that moved."""

_RETRY_S: Final = 1.0
_JOIN_S: Final = 3.0


class _Done(NamedTuple):
    """Position behind the last event that is done, and that event's append time."""

    generation: int
    next_offset: int
    logged_at: datetime | None


class ProgressReporter:
    """Reports the progress of one deriver from its own thread, between :meth:`start` and :meth:`close`. Thread-safe."""

    def __init__(self, settings: Settings, spec: ModalitySpec, producer: LogProducer) -> None:
        self._settings = settings
        self._spec = spec
        self._producer = producer
        self._topic = topic_name(settings, spec.topic)
        self._artifacts = topic_name(settings, ARTIFACTS_TOPIC)
        self._changed = threading.Condition()
        self._epoch = 0
        self._assigned: frozenset[int] = frozenset()
        self._done: dict[int, _Done] = {}
        self._open_calls: dict[int, tuple[OpenCall, ...]] = {}
        self._reported: dict[int, Progress] = {}
        self._moved: set[int] = set()
        self._full_due_at = 0.0
        self._confirmed_at: datetime | None = None
        self._is_delivered = True
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to report; the broker need not answer yet."""
        self._thread.start()

    def close(self) -> None:
        """Report what is done by now, and end; leave the thread to the end of the process after three seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(_JOIN_S)

    def assign(
        self, topic_partitions: Collection[int], open_calls: Mapping[int, Iterable[OpenCall]] | None = None
    ) -> None:
        """Report these topic partitions from now on, each from where the group has committed.

        Args:
            topic_partitions: all that the worker has.
            open_calls: calls being spoken, by topic partition.
        """
        with self._changed:
            self._epoch += 1
            self._assigned = frozenset(topic_partitions)
            self._done, self._moved = {}, set()
            self._full_due_at = 0.0
            self._open_calls = {number: tuple(calls) for number, calls in (open_calls or {}).items()}
            self._changed.notify()

    def note_done(
        self, records: Iterable[ConsumedRecord], open_calls: Mapping[int, Iterable[OpenCall]] | None = None
    ) -> None:
        """Note events whose outputs are acknowledged, in the order of the log; all earlier ones must be done.

        Args:
            records: with their append times.
            open_calls: calls being spoken behind them, by topic partition; None: as before.
        """
        with self._changed:
            for record in records:
                position = record.position
                before = self._done.get(position.topic_partition)
                # A foreign client may write any generation, or none.
                generation = min(position.generation, self._settings.log_generation)
                generation = max(generation, before.generation if before is not None else 0)
                self._done[position.topic_partition] = _Done(generation, position.offset + 1, record.logged_at)
                self._moved.add(position.topic_partition)
            for number, calls in (open_calls or {}).items():
                self._open_calls[number] = tuple(calls)
            if self._moved:
                self._changed.notify()

    def _run(self) -> None:
        outages = OutageLog(
            _log, outage="progress is not reported: the log is unavailable", failure="progress is not reported"
        )
        with ReplayLog(self._settings) as log:
            while True:
                with self._changed:
                    until_full_s = self._full_due_at - time.monotonic()
                    if not self._moved and not self._closed and until_full_s > 0:
                        self._changed.wait(until_full_s)
                    is_last = self._closed
                error = outages.attempt(partial(self._report, log, is_last=is_last))
                if is_last:
                    return
                if error is not None:
                    time.sleep(_RETRY_S)
                time.sleep(MIN_INTERVAL_S)

    def _report(self, log: ReplayLog, *, is_last: bool) -> None:
        """Report what has moved, and once a second everything: so a report that fails is made up for soon."""
        self._begin(log)
        with self._changed:
            now = time.monotonic()
            if is_last or now >= self._full_due_at:
                self._full_due_at = now + FULL_INTERVAL_S
                done = dict(self._done)
            else:
                done = {number: self._done[number] for number in self._moved & self._done.keys()}
            open_calls = dict(self._open_calls)
            self._moved.clear()
        if not done:
            return
        # In this order: the end that is asked for now is behind every event that was appended before that record.
        confirmed_at = self._confirmed_at
        ends = log.ends([self._topic, self._artifacts])
        outputs = {number: end for (topic, number), end in ends.items() if topic == self._artifacts}
        source_partitions = sum(topic == self._topic for topic, _ in ends)
        for number, state in done.items():
            is_at_end = ends.get((self._topic, number), state.next_offset + 1) <= state.next_offset
            calls = open_calls.get(number, ())
            record = Progress(
                topic=self._spec.topic,
                topic_partition=number,
                generation=state.generation,
                next_offset=state.next_offset,
                complete_until=(confirmed_at if is_at_end else state.logged_at) or self._complete_before(number, state),
                outputs=outputs,
                source_partitions=source_partitions,
                open_calls=calls[:MAX_OPEN_CALLS],
                open_call_count=len(calls),
            )
            self._send(number, record)

    def _begin(self, log: ReplayLog) -> None:
        """Take what the group has committed for the start of a topic partition of which nothing was done here yet."""
        with self._changed:
            epoch, missing = self._epoch, self._assigned - self._done.keys()
        if not missing:
            return
        group = f"{self._settings.topic_prefix}{self._spec.group}"
        progress = log.progress(group, [self._topic])[self._topic]
        with self._changed:
            if epoch != self._epoch:
                return
            for number in missing & progress.keys():
                next_offset, high = progress[number]
                # Records that wait may be of an earlier generation: then this says less than is done.
                generation = self._settings.log_generation if next_offset >= high else 0
                self._done.setdefault(number, _Done(generation, next_offset, None))

    def _complete_before(self, number: int, state: _Done) -> datetime | None:
        """Completeness of the last report, which still holds where nothing newer is known."""
        before = self._reported.get(number)
        return before.complete_until if before is not None and before.order <= state[:2] else None

    def _send(self, number: int, record: Progress) -> None:
        self._reported[number] = record
        sent = self._producer.send(
            topic_name(self._settings, PROGRESS_TOPIC),
            f"{self._spec.topic}/{number}",
            encode(record),
            headers={"schema_version": str(record.schema_version).encode(), "kind": record.kind.encode()},
            on_logged=self._confirm,
        )
        sent.add_done_callback(self._note_delivery)

    def _confirm(self, logged_at: datetime) -> None:
        self._confirmed_at = logged_at

    def _note_delivery(self, sent: Future[Position]) -> None:
        """Log the first of several reports that the broker does not take."""
        error = sent.exception()
        if error is not None and self._is_delivered:
            reason = str(error) if isinstance(error, PlatformError) else type(error).__name__
            _log.warning("progress is not reported: the broker does not take it", reason=reason)
        self._is_delivered = error is None
