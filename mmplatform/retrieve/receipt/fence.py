"""Fence: a search waits until an acknowledged event, or everything up to a time, is in reach of it.

It waits for what reaches it and for nothing else: a change on one of the follower's threads wakes the event loop, which
checks each open wait. A client that disconnects frees its wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from mmplatform.errors import Busy
from mmplatform.events import Position
from mmplatform.progress import EventSource
from mmplatform.retrieve.receipt.derivation_progress import Derived
from mmplatform.retrieve.receipt.pending_events import PendingEvents

MAX_WAITS: Final = 500
"""Open waits of one gateway, about 2 MB."""

RETRY_AFTER_S: Final = 1.0
WAKE_DELAY_S: Final = 0.003
"""Changes within it wake the waits once: under load each read of a follower is one."""


class Bound(NamedTuple):
    """Bound of a wait: what must be in reach.

    Attributes:
        positions: events.
        min_fresh: everything of the subject that was appended until then; None: no such bound.
        subject: keyed pseudonym; None: of all subjects.
        topics: of the events that count for ``min_fresh``.
    """

    positions: Sequence[Position]
    min_fresh: datetime | None
    subject: str | None
    topics: Collection[str]


class Passed(NamedTuple):
    """End of a wait: false in ``reached`` when the time was over, or the client disconnected, before."""

    reached: bool
    waited_s: float
    is_disconnected: bool = False


@dataclass(slots=True, eq=False)
class _Wait:
    bound: Bound
    done: asyncio.Future[None]


class Fence:
    """Waits of one event loop.

    Args:
        derived: state of each source now.
        pending: events that are not derived.
    """

    def __init__(self, derived: Callable[[], Mapping[EventSource, Derived]], pending: PendingEvents) -> None:
        self._derived = derived
        self._pending = pending
        self._waits: set[_Wait] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_woken = False

    @property
    def waits(self) -> int:
        """Number of open waits."""
        return len(self._waits)

    def is_reached(self, bound: Bound, derived: Mapping[EventSource, Derived] | None = None) -> bool:
        """True when all of it is in reach now, or in the given state."""
        derived = self._derived() if derived is None else derived
        return all(_has(derived, position) for position in bound.positions) and (
            bound.min_fresh is None or self._is_fresh(bound, bound.min_fresh, derived)
        )

    async def wait(
        self, bound: Bound, timeout_s: float, disconnected: Callable[[], Awaitable[object]] | None = None
    ) -> Passed:
        """Return when the bound is in reach, the time is over, or the client has disconnected.

        Args:
            bound: what must be in reach.
            timeout_s: the longest wait.
            disconnected: returns when the client has gone; None: it is not watched.

        Raises:
            Busy: too many searches wait.
        """
        started = time.perf_counter()
        if self.is_reached(bound):
            return Passed(True, 0.0)
        if len(self._waits) >= MAX_WAITS:
            raise Busy(f"{MAX_WAITS} searches wait for fresh events: ask again", retry_after=RETRY_AFTER_S)
        self._loop = asyncio.get_running_loop()
        wait = _Wait(bound, self._loop.create_future())
        self._waits.add(wait)
        watched: list[asyncio.Future[Any]] = [asyncio.ensure_future(disconnected())] if disconnected is not None else []
        try:
            if not self.is_reached(bound):  # again: it may have come before the wait was in the set
                await asyncio.wait([wait.done, *watched], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            reached = wait.done.done() or self.is_reached(bound)
            is_disconnected = not reached and any(task.done() for task in watched)
        finally:
            self._waits.discard(wait)
            for task in watched:
                task.cancel()
        return Passed(reached, time.perf_counter() - started, is_disconnected)

    def wake(self) -> None:
        """Look at the open waits soon; for any thread. Costs nothing while none is open."""
        if self._waits and not self._is_woken and self._loop is not None:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._loop.call_later, WAKE_DELAY_S, self.check_waits)

    def check_waits(self) -> None:
        """End the waits that are reached; for the event loop."""
        self._is_woken = False
        derived = self._derived()
        for wait in list(self._waits):
            if not wait.done.done() and self.is_reached(wait.bound, derived):
                wait.done.set_result(None)

    def _is_fresh(self, bound: Bound, min_fresh: datetime, derived: Mapping[EventSource, Derived]) -> bool:
        sources = self._pending.sources(bound.topics)
        return bool(sources) and all(self._is_fresh_in(source, bound, min_fresh, derived) for source in sources)

    def _is_fresh_in(
        self, source: EventSource, bound: Bound, min_fresh: datetime, derived: Mapping[EventSource, Derived]
    ) -> bool:
        state = derived.get(source)
        if state is not None and state.complete_until is not None and state.complete_until > min_fresh:
            return True
        return bound.subject is not None and self._pending.is_clear(source, bound.subject, min_fresh)


def _has(derived: Mapping[EventSource, Derived], position: Position) -> bool:
    state = derived.get(EventSource(position.topic, position.topic_partition))
    return state is not None and (position.generation, position.offset) < state.order
