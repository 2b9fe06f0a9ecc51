"""Follower: keeps the tail at the end of the artifacts topic, and drops from it what the index has landed.

Two threads: one reads records, the other asks for the progress of the index every second. Neither joins a group.
The broker may be away at any time: the tail keeps what it has, and its state says so.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from mmplatform.artifacts import Passage, Retraction
from mmplatform.errors import PlatformError, Rejected
from mmplatform.events import utc_now
from mmplatform.kafka.artifact_record import decode_artifact_record
from mmplatform.kafka.reader import GroupProgress, ReplayLog
from mmplatform.kafka.record_time import record_time
from mmplatform.kafka.topic_follower import TopicFollower
from mmplatform.kafka.topics import topic_name
from mmplatform.modalities import ARTIFACTS_TOPIC, INDEX_GROUP, MODALITIES
from mmplatform.progress import EventSource
from mmplatform.retrieve.tail.tail import Tail, TailState
from mmplatform.settings import Settings
from mmplatform.telemetry.outage_log import OutageLog

if TYPE_CHECKING:
    from confluent_kafka import Message

_log = structlog.get_logger(__name__)
PROGRESS_INTERVAL_S: Final = 1.0
_READ_TIMEOUT_S: Final = 0.1
_RETRY_S: Final = 0.5
_LAGGING_AFTER_S: Final = 1.0
"""While records arrive the reader is always a little behind: only longer than this counts."""

_MAX_SILENCE_S: Final = 5.0
_RESUME_SHARE: Final = 0.8
_START_S: Final = 10.0
_MARKERS: Final = 2
"""Offsets between two records that a transaction's own records take."""

_JOIN_S: Final = 2.0
EVICTION_DELAY_S: Final = 10.0
"""An entry stays so long after the index has committed it: a bucket of the index that is exchanged meanwhile lacks the
newest passages for a moment."""
_INTERACTIONS: Final = tuple(spec.topic for spec in MODALITIES.values())
_KINDS: Final = frozenset({b"passage", b"retraction"})


@dataclass(frozen=True, slots=True)
class TailFigures:
    """Figures of the tail.

    Attributes:
        entries: passages and retractions that the index may not have yet.
        bytes: their memory, estimated.
        lag: records on the log that the tail has not read.
        unreadable: records that are no artifacts, passed over.
    """

    state: TailState
    entries: int
    bytes: int
    lag: int
    unreadable: int


class TailFollower:
    """Follows the artifacts topic into a tail, from :meth:`start` to :meth:`close`.

    On its thread ``on_change`` is called when more of the log is in reach, and ``on_passage`` with each passage that
    comes once it has been current, and the time of its arrival.

    Its threads are daemons: one that waits for a broker that is away does not hold up the end of the process.
    """

    def __init__(
        self,
        settings: Settings,
        tail: Tail,
        on_change: Callable[[], None] = lambda: None,
        on_passage: Callable[[Passage, datetime], None] = lambda *_: None,
    ) -> None:
        self._tail = tail
        self._on_change = on_change
        self._on_passage = on_passage
        self._max_bytes = settings.tail_max_bytes
        self._topic = topic_name(settings, ARTIFACTS_TOPIC)
        self._group = f"{settings.topic_prefix}{INDEX_GROUP}"
        self._settings = settings
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._wanted: dict[int, int] = {}
        self._floors: dict[int, int] = {}
        self._highs: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._lagging_since: dict[int, float] = {}
        self._progress_at: float | None = None
        self._was_current = False
        self._is_paused = False
        self._must_begin = True
        self._started_at = time.monotonic()
        self._commits: deque[tuple[float, dict[int, int]]] = deque()
        self._outages = OutageLog(
            _log, outage="tail: the log is unavailable", failure="tail: failed, begins again", again_in_s=_RETRY_S
        )
        self._unreadable = 0
        self._threads = [
            threading.Thread(target=self._run, args=(step,), name=name, daemon=True)
            for name, step in (("tail", self._read), ("tail-progress", self._watch))
        ]

    def start(self) -> None:
        """Begin; the broker need not answer yet."""
        self._started_at = time.monotonic()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End both threads, or leave them to the end of the process after two seconds each."""
        self._closed.set()
        for thread in self._threads:
            thread.join(_JOIN_S)

    @property
    def state(self) -> TailState:
        """State of the tail: in ``current`` everything derived is in reach."""
        now = time.monotonic()
        with self._lock:
            if self._progress_at is None or now - self._progress_at > _MAX_SILENCE_S:
                return TailState.UNAVAILABLE
            oldest = min(self._lagging_since.values(), default=now)
        if self._tail.full or self._is_paused:
            return TailState.FULL
        if self._wanted or now - oldest > _LAGGING_AFTER_S:
            return TailState.CATCHING_UP
        return TailState.CURRENT

    @property
    def is_catching_up(self) -> bool:
        """True until it has been at the end of the log once; false while the broker is away."""
        if self._was_current:
            return False
        begins = self._progress_at is None and time.monotonic() - self._started_at < _START_S
        return begins or self.state is TailState.CATCHING_UP

    def positions(self) -> dict[int, int]:
        """Next offsets by topic partition: everything before them is in the tail, or in the index."""
        with self._lock:
            return {number: min(end, self._wanted.get(number, end)) for number, end in self._positions.items()}

    def figures(self) -> TailFigures:
        """Figures of this moment."""
        state = self.state
        with self._lock:
            lag = sum(max(high - self._positions.get(number, 0), 0) for number, high in self._highs.items())
        return TailFigures(state, len(self._tail), self._tail.bytes, lag, self._unreadable)

    def _run(self, step: Any) -> None:
        """Repeat one of the loops: without it answers would be stale for ever."""
        while not self._closed.is_set():
            self._outages.attempt(step)
            self._closed.wait(_RETRY_S)

    def _watch(self) -> None:
        with ReplayLog(self._settings, timeout_s=_MAX_SILENCE_S) as log:
            while not self._closed.is_set():
                if self._must_begin:
                    self._begin(log)
                self._observe(log.progress(self._group, [self._topic])[self._topic])
                self._was_current = self._was_current or self.state is TailState.CURRENT
                self._outages.end()
                self._closed.wait(PROGRESS_INTERVAL_S)

    def _begin(self, log: ReplayLog) -> None:
        """Tell the tail where the interactions end: of later events it sees every record."""
        self._must_begin = False
        prefix = self._settings.topic_prefix
        try:
            ends = log.watermarks([f"{prefix}{topic}" for topic in _INTERACTIONS])
        except PlatformError:
            self._must_begin = True
            raise
        self._tail.begin(
            {
                EventSource(topic.removeprefix(prefix), number): watermarks.high
                for topic, by_number in ends.items()
                for number, watermarks in by_number.items()
            }
        )

    def _observe(self, progress: Mapping[int, GroupProgress]) -> None:
        """Evict what the index has committed; follow new topic partitions, and go back where the index went back."""
        with self._lock:
            for number, (next_offset, high) in progress.items():
                floor = self._floors.get(number)
                if floor is None or next_offset < floor:
                    self._wanted[number] = next_offset
                    self._lagging_since[number] = float("-inf")  # until its end is reached once
                elif high > self._positions.get(number, 0):
                    self._lagging_since.setdefault(number, time.monotonic())
                self._floors[number] = next_offset
                self._highs[number] = high
            self._progress_at = time.monotonic()
        self._evict({number: next_offset for number, (next_offset, _) in progress.items()})

    def _evict(self, committed: dict[int, int]) -> None:
        """Drop what the index has had for some time; at once where memory is short."""
        now = time.monotonic()
        self._commits.append((now, committed))
        is_short = self._is_paused or self._tail.bytes >= _RESUME_SHARE * self._max_bytes
        while self._commits and (is_short or now - self._commits[0][0] >= EVICTION_DELAY_S):
            _, committed = self._commits.popleft()
            self._tail.evict(committed)

    def _read(self) -> None:
        follower = TopicFollower(self._settings)
        try:
            self._follow_again()
            while not self._closed.is_set():
                self._assign(follower)
                if self._tail.full:
                    follower.pause()
                    self._is_paused = True
                elif self._tail.bytes < _RESUME_SHARE * self._max_bytes:
                    follower.resume()
                    self._is_paused = False
                batch = follower.read(_READ_TIMEOUT_S)
                for record in batch.records:
                    self._apply(record)
                with self._lock:
                    for (_, number), end in batch.ends.items():
                        if number not in self._wanted:
                            self._positions[number] = end
                            self._lagging_since.pop(number, None)
                if batch.records or batch.ends:
                    self._on_change()
        finally:
            self._is_paused = False
            follower.close()

    def _follow_again(self) -> None:
        """A new client reads from where the index is: the previous one ended."""
        with self._lock:
            self._wanted |= self._floors
            self._lagging_since |= dict.fromkeys(self._floors, float("-inf"))
        self._tail.forget_order()
        self._must_begin = True

    def _assign(self, follower: TopicFollower) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, {}
            self._lagging_since |= dict.fromkeys(wanted, float("-inf"))
            self._positions |= wanted
        if not wanted:
            return
        for number in wanted:
            self._tail.clear(number)
        follower.follow({(self._topic, number): offset for number, offset in wanted.items()})

    def _apply(self, record: Message) -> None:
        number, offset = record.partition(), record.offset()
        with self._lock:
            self._lagging_since.setdefault(number, time.monotonic())
            skipped = offset - self._positions.get(number, offset)
        if skipped > _MARKERS:  # retention dropped them, or the log began again
            self._tail.forget_order()
            self._must_begin = True
        artifact = self._decode(record)
        if isinstance(artifact, Passage | Retraction):
            applied_at = utc_now()
            self._tail.apply(artifact, topic_partition=number, offset=offset, applied_at=applied_at)
            if self._was_current and isinstance(artifact, Passage):
                self._on_passage(artifact, applied_at)
        with self._lock:  # behind it: a receipt claims what the tail has
            self._positions[number] = offset + 1

    def _decode(self, record: Message) -> object:
        """The artifact; None for another kind, by its header, and for a record that is none: the indexer names it."""
        headers = {name: value or b"" for name, value in record.headers() or ()}
        if headers.get("kind", b"passage") not in _KINDS:
            return None
        try:
            return decode_artifact_record(record.value(), headers, record_time(record.timestamp()[1]))
        except Rejected:
            self._unreadable += 1
            return None
