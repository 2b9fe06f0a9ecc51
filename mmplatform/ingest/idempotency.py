"""Idempotency cache of recent events: a repeated request gets the first response, and the log gets one record.

The cache is bounded and ends with the process. An event repeated later is on the log twice, and every consumer of the
log is idempotent by id. A conflict that comes later is found by the deriver, in the order of the log.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mmplatform.errors import Conflict, PlatformError
from mmplatform.events import Position

MAX_CACHED_EVENTS: Final = 50_000
"""Events; about 20 MB."""


@dataclass(slots=True)
class _CachedEvent:
    """Digest of an event, and its position after the write: a finished task would be four times as large."""

    digest: bytes
    write: asyncio.Task[Position] | None
    position: tuple[str, int, int, int] = ("", 0, 0, 0)


class IdempotencyCache:
    """Identity of an event → digest of its content and the write that puts it onto the log. For one event loop."""

    def __init__(self, capacity: int = MAX_CACHED_EVENTS) -> None:
        self._capacity = capacity
        self._events: OrderedDict[str, _CachedEvent] = OrderedDict()

    def check(self, event_id: str, uid: str, digest: bytes) -> None:
        """Return when the event is new, or is cached with this content; ``event_id`` is its source's name for it.

        Raises:
            Conflict: it is cached with other content.
        """
        cached = self._events.get(uid)
        if cached is not None and cached.digest != digest:
            raise Conflict(
                f"event {event_id} arrived before in this conversation with other content: give a new event its own id"
            )

    async def write_once(
        self, event_id: str, uid: str, digest: bytes, write: Callable[[], Awaitable[Position]]
    ) -> tuple[Position, bool]:
        """Write the event unless it is cached; returns its position, and True for a duplicate.

        A duplicate of an event whose write is in progress waits for it and shares its outcome. A failed write is
        removed, so that it can be retried. The write continues when its caller is cancelled.

        Raises:
            Conflict: the id is cached with other content.
            PlatformError: raised by ``write``.
        """
        self.check(event_id, uid, digest)
        cached = self._events.get(uid)
        if cached is not None:
            self._events.move_to_end(uid)
            if cached.write is not None:
                return await asyncio.shield(cached.write), True
            topic, number, offset, generation = cached.position
            return Position(topic=topic, topic_partition=number, offset=offset, generation=generation), True
        task = asyncio.ensure_future(_run(write))
        self._events[uid] = _CachedEvent(digest, task)
        task.add_done_callback(lambda finished: self._on_written(uid, finished))
        return await asyncio.shield(task), False

    async def drain(self) -> None:
        """Wait until no write is in progress."""
        for write in [cached.write for cached in self._events.values() if cached.write is not None]:
            with suppress(PlatformError):
                await asyncio.shield(write)

    def _on_written(self, uid: str, task: asyncio.Task[Position]) -> None:
        # Reading the exception also marks it as retrieved, in case every caller was cancelled.
        if task.cancelled() or task.exception() is not None:
            self._events.pop(uid, None)
        elif (cached := self._events.get(uid)) is not None and cached.write is task:
            done = task.result()
            cached.position, cached.write = (done.topic, done.topic_partition, done.offset, done.generation), None
        while len(self._events) > self._capacity:
            oldest_id, oldest = next(iter(self._events.items()))
            if oldest.write is not None:
                break
            del self._events[oldest_id]


async def _run(write: Callable[[], Awaitable[Position]]) -> Position:
    return await write()
