"""A replay log in memory for unit tests; it passes the same suite as the real one (tests/behaviours/test_log.py)."""

from __future__ import annotations

import asyncio
import threading
import zlib
from concurrent.futures import Future
from datetime import UTC, datetime

from mmplatform.errors import Misconfigured, PlatformError
from mmplatform.events import Position, utc_now
from mmplatform.kafka.reader import LogEntry, Watermarks


class MemoryLog:
    """Writer and reader in one. Every call raises ``failure`` while it is set; ``pending_acks`` delays acks."""

    def __init__(self, topic_partitions: int = 4):
        self.failure: PlatformError | None = None
        self.pending_acks: list[tuple[Future[Position], Position]] | None = None
        self.sent = threading.Event()
        self._topic_partitions = topic_partitions
        self._records: dict[str, dict[int, list[LogEntry]]] = {}
        self._committed: dict[tuple[str, str, int], int] = {}

    def create(self, topic):
        self._records[topic] = {number: [] for number in range(self._topic_partitions)}

    def send(self, topic, key, value, *, timestamp=None, headers=None):
        if self.failure is not None:
            raise self.failure
        if topic not in self._records:
            raise Misconfigured(f"no topic {topic}")
        number = zlib.crc32((key or "").encode()) % self._topic_partitions
        entries = self._records[topic][number]
        position = Position(topic=topic, topic_partition=number, offset=len(entries))
        stamp = timestamp or utc_now()
        millis = round(stamp.timestamp() * 1000) / 1000
        raw_key = key.encode() if key is not None else None
        entries.append(
            LogEntry(position, key, value, dict(headers or {}), datetime.fromtimestamp(millis, UTC), raw_key)
        )
        self.sent.set()
        future: Future[Position] = Future()
        if self.pending_acks is None:
            future.set_result(position)
        else:
            self.pending_acks.append((future, position))
        return future

    async def publish(self, topic, key, value, *, timestamp=None, headers=None):
        return await asyncio.wrap_future(self.send(topic, key, value, timestamp=timestamp, headers=headers))

    def send_all(self, records):
        return [self.send(r.topic, r.key, r.value, timestamp=r.timestamp, headers=r.headers).result() for r in records]

    def release(self):
        acks, self.pending_acks = self.pending_acks or [], None
        for future, position in acks:
            future.set_result(position)

    def commit(self, group, topic, number, offset):
        self._committed[group, topic, number] = offset

    def watermarks(self, topics):
        self.check_reachable()
        self._require_topics(topics)
        return {t: {n: Watermarks(0, len(e)) for n, e in self._records[t].items()} for t in topics}

    def lag(self, group, topics):
        return {
            topic: {n: m.high - self._committed.get((group, topic, n), 0) for n, m in watermarks.items()}
            for topic, watermarks in self.watermarks(topics).items()
        }

    def oldest_pending_at(self, group, topic):
        self.check_reachable()
        undone = [
            entries[self._committed.get((group, topic, number), 0) :]
            for number, entries in self._records[topic].items()
        ]
        return min((entries[0].timestamp for entries in undone if entries), default=None)

    def newest_record_at(self, topic):
        self.check_reachable()
        return max((e.timestamp for entries in self._records[topic].values() for e in entries[-1:]), default=None)

    def read(self, topic, since=None, until=None):
        self.check_reachable()
        self._require_topics([topic])
        for number, entries in self._records[topic].items():
            first, end = (
                self._resolve_bound(entries, number, since, 0),
                self._resolve_bound(entries, number, until, len(entries)),
            )
            yield from entries[first:end]

    def check_reachable(self):
        if self.failure is not None:
            raise self.failure

    def close(self):
        pass

    def _require_topics(self, topics):
        for topic in topics:
            if topic not in self._records:
                raise Misconfigured(f"no topic {topic}")

    @staticmethod
    def _resolve_bound(entries, number, bound, default):
        if bound is None:
            return default
        if isinstance(bound, datetime):
            return next((i for i, entry in enumerate(entries) if entry.timestamp >= bound), len(entries))
        return bound.get(number, 0)
