"""Which events came just now, so that a source that repeats itself gets the first answer and the log one record.

The memory is bounded and dies with the process: an event that comes again after that lies on the log twice, and
everything behind the log is idempotent by id.
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

REMEMBERED: Final = 50_000
"""Events; about 20 MB."""


@dataclass(slots=True)
class _Remembered:
    """What an event contained, and where it lies once its write is done: a task that is over is four times as large."""

    digest: bytes
    write: asyncio.Task[Position] | None
    place: tuple[str, int, int] = ("", 0, 0)


class RecentEvents:
    """Event id → what it contained and the write that put it onto the log. For one event loop."""

    def __init__(self, capacity: int = REMEMBERED) -> None:
        self._capacity = capacity
        self._events: OrderedDict[str, _Remembered] = OrderedDict()

    def check(self, event_id: str, digest: bytes) -> None:
        """Return when the id is new, or came with this content.

        Raises:
            Conflict: it came with other content.
        """
        known = self._events.get(event_id)
        if known is not None and known.digest != digest:
            raise Conflict(f"event {event_id} came before with other content: give what is new an id of its own")

    async def once(
        self, event_id: str, digest: bytes, write: Callable[[], Awaitable[Position]]
    ) -> tuple[Position, bool]:
        """Write the event unless it came before; its position, and whether it was a duplicate.

        A duplicate that comes while the first is being written waits for it and shares its fate. A failed write is
        forgotten, so that it can be tried again. The write goes on when its caller is cancelled.

        Raises:
            Conflict: the id came before with other content.
            PlatformError: whatever ``write`` raises.
        """
        self.check(event_id, digest)
        known = self._events.get(event_id)
        if known is not None:
            self._events.move_to_end(event_id)
            if known.write is not None:
                return await asyncio.shield(known.write), True
            topic, number, offset = known.place
            return Position(topic=topic, topic_partition=number, offset=offset), True
        task = asyncio.ensure_future(_run(write))
        self._events[event_id] = _Remembered(digest, task)
        task.add_done_callback(lambda done: self._written(event_id, done))
        return await asyncio.shield(task), False

    async def drain(self) -> None:
        """Wait until no write is under way."""
        for write in [known.write for known in self._events.values() if known.write is not None]:
            with suppress(PlatformError):
                await asyncio.shield(write)

    def _written(self, event_id: str, task: asyncio.Task[Position]) -> None:
        # Asking for the exception also marks it as seen, when no caller is left to see it.
        if task.cancelled() or task.exception() is not None:
            self._events.pop(event_id, None)
        elif (mine := self._events.get(event_id)) is not None and mine.write is task:
            done = task.result()
            mine.place, mine.write = (done.topic, done.topic_partition, done.offset), None
        while len(self._events) > self._capacity:
            oldest, known = next(iter(self._events.items()))
            if known.write is not None:
                break
            del self._events[oldest]


async def _run(write: Callable[[], Awaitable[Position]]) -> Position:
    return await write()
