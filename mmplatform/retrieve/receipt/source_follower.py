"""Follower of the topics of events, of the progress topic and of the quarantine: what a receipt is made of.

One thread, which joins no group. It begins where the derivers have committed; of the progress topic it needs the last
records only, and of the quarantine the last day.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from mmplatform.errors import Rejected
from mmplatform.events import utc_now
from mmplatform.kafka.headers import is_canary, log_generation
from mmplatform.kafka.reader import ReplayLog
from mmplatform.kafka.record_time import record_time
from mmplatform.kafka.topic_follower import TopicFollower, TopicKey
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import MODALITIES, PROGRESS_TOPIC, QUARANTINE_TOPIC
from mmplatform.progress import EventSource, decode_progress
from mmplatform.refusals import Quarantined, decode_quarantine_record
from mmplatform.retrieve.receipt.derivation_progress import DerivationProgress
from mmplatform.retrieve.receipt.pending_events import LoggedEvent, PendingEvents
from mmplatform.settings import Settings
from mmplatform.telemetry.outage_log import OutageLog

if TYPE_CHECKING:
    from confluent_kafka import Message

_log = structlog.get_logger(__name__)
_LAST_PROGRESS_RECORDS: Final = 2_000
_REFUSED_SINCE: Final = timedelta(days=1)
_NEW_PARTITIONS_INTERVAL_S: Final = 10.0
_READ_TIMEOUT_S: Final = 0.1
_RETRY_S: Final = 0.5
_JOIN_S: Final = 2.0
_TOPICS: Final = {spec.topic: spec for spec in MODALITIES.values()}


class SourceFollower:
    """Follows the topics into a progress and pending events, from :meth:`start` to :meth:`close`.

    Args:
        settings: the broker's address, and the topics' prefix.
        progress: gets each progress record.
        pending: gets each event and each refusal.
        on_change: called, on the thread, after records that may bring an answer within reach.
    """

    def __init__(
        self,
        settings: Settings,
        progress: DerivationProgress,
        pending: PendingEvents,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._pending = pending
        self._on_change = on_change
        self._followed: set[TopicKey] = set()
        self._closed = threading.Event()
        self._outages = OutageLog(
            _log,
            outage="receipts: the log is unavailable",
            failure="receipts: failed, begins again",
            again_in_s=_RETRY_S,
        )
        self._thread = threading.Thread(target=self._run, name="sources", daemon=True)

    def start(self) -> None:
        """Begin; the broker need not answer yet."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, or leave it to the end of the process after two seconds."""
        self._closed.set()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        """Follow again after each error: without this thread, receipts would claim nothing for ever."""
        while not self._closed.is_set():
            if self._outages.attempt(self._follow) is not None:
                self._pending.lose_touch()
            self._closed.wait(_RETRY_S)

    def _follow(self) -> None:
        follower = TopicFollower(self._settings)
        self._followed = set()
        try:
            with ReplayLog(self._settings) as log:
                checked_at = -_NEW_PARTITIONS_INTERVAL_S
                while not self._closed.is_set():
                    if time.monotonic() - checked_at >= _NEW_PARTITIONS_INTERVAL_S:
                        checked_at = time.monotonic()
                        follower.follow(self._new_starts(log))
                    batch = follower.read(_READ_TIMEOUT_S)
                    self._outages.end()
                    for record in batch.records:
                        self._apply(record)
                    for topic, number in batch.ends:
                        if (bare := self._bare(topic)) in _TOPICS:
                            self._pending.reach_end(EventSource(bare, number))
                    if batch.records:
                        self._on_change()
        finally:
            follower.close()

    def _new_starts(self, log: ReplayLog) -> dict[TopicKey, int]:
        """Starts of the topic partitions that are not followed yet."""
        names = {topic_name(self._settings, name): name for name in (*_TOPICS, PROGRESS_TOPIC, QUARANTINE_TOPIC)}
        ends = log.ends(names)
        starts: dict[TopicKey, int] = {}
        for name, topic in names.items():
            new = {
                number: end
                for (found, number), end in ends.items()
                if found == name and (name, number) not in self._followed
            }
            if new:
                starts |= {(name, number): start for number, start in self._starts(log, name, topic, new).items()}
        self._followed |= starts.keys()
        return starts

    def _starts(self, log: ReplayLog, name: str, topic: str, ends: dict[int, int]) -> dict[int, int]:
        if topic == PROGRESS_TOPIC:
            return {number: max(end - _LAST_PROGRESS_RECORDS, 0) for number, end in ends.items()}
        if topic == QUARANTINE_TOPIC:
            return log.resolve_bound(name, utc_now() - _REFUSED_SINCE, ends)
        group = f"{self._settings.topic_prefix}{_TOPICS[topic].group}"
        committed = log.progress(group, [name])[name]
        starts = {number: committed[number].next_offset for number in ends if number in committed}
        for number, start in starts.items():
            # Records that wait may be of an earlier generation.
            generation = self._settings.log_generation if start >= ends[number] else 0
            self._pending.begin(EventSource(topic, number), (generation, start))
        return starts

    def _apply(self, record: Message) -> None:
        topic = self._bare(record.topic() or "")
        if topic == PROGRESS_TOPIC:
            self._apply_progress(record)
        elif topic == QUARANTINE_TOPIC:
            self._apply_refusal(record)
        else:
            headers = {name: value or b"" for name, value in record.headers() or ()}
            event = LoggedEvent(
                (min(log_generation(headers), self._settings.log_generation), record.offset()),
                headers.get("subject", b"").decode(errors="replace"),
                record_time(record.timestamp()[1]),
                is_canary(headers),
            )
            self._pending.add(EventSource(topic, record.partition()), event)

    def _bare(self, topic: str) -> str:
        return topic.removeprefix(self._settings.topic_prefix)

    def _apply_progress(self, record: Message) -> None:
        # Behind a start old records are read: their deriver may be down for hours.
        age_s = max((utc_now() - record_time(record.timestamp()[1])).total_seconds(), 0.0)
        try:
            self._progress.observe(decode_progress(record.value()), time.monotonic() - age_s)
        except Rejected as error:  # of a foreign client, or of a later release: it claims nothing here
            _log.warning("a progress record that does not parse was passed over", reason=str(error))

    def _apply_refusal(self, record: Message) -> None:
        headers = {name: value or b"" for name, value in record.headers() or ()}
        try:
            row = decode_quarantine_record(record.value())
        except Rejected:
            return  # the archiver names it
        subject = headers.get("subject", b"").decode(errors="replace")
        event = f"{row.conversation_key}/{row.event_id}"
        if isinstance(row, Quarantined):
            self._pending.refuse(subject, event, row.contract, record_time(record.timestamp()[1]))
        else:
            self._pending.release(subject, event)
