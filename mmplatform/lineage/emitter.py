"""Sends lineage events to their backend without ever blocking the caller.

Events wait in a bounded queue, which a thread empties in order. While the backend does not answer, the thread retries
the oldest event; the queue fills, and events that do not fit are dropped and counted. :meth:`LineageEmitter.emit`
always returns at once and never raises.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal, Protocol

import structlog

from mmplatform.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

_log = structlog.get_logger(__name__)
MAX_QUEUED_EVENTS: Final = 1_000
"""A quarter of an hour: a minute has about 60 events (two for each of 8 tables, four commits)."""

RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 30.0

SendOutcome = Literal["sent", "refused", "dropped", "failed"]
"""Refused: by the backend. Dropped: for lack of space or time. Failed: building or sending it raised."""

SEND_OUTCOMES: Final[tuple[SendOutcome, ...]] = ("sent", "refused", "dropped", "failed")


class LineageBackend(Protocol):
    """Destination of events."""

    def send(self, event: RunEvent) -> None:
        """Send one event. Raises ``Rejected`` when it can never be accepted, ``Unavailable`` when it may be later."""

    def close(self) -> None:
        """Close connections."""


class LineageEmitter:
    """Queue of events with a sender thread. Thread-safe."""

    def __init__(
        self, backend: LineageBackend, *, max_queued: int = MAX_QUEUED_EVENTS, retry_s: float = RETRY_S
    ) -> None:
        self._backend = backend
        self._max_queued = max_queued
        self._retry_s = retry_s
        self._queue: deque[Callable[[], RunEvent]] = deque()
        self._counts: Counter[SendOutcome] = Counter()
        self._changed = threading.Condition()
        self._closing = False
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="lineage", daemon=True)
        self._thread.start()

    def emit(self, build: Callable[[], RunEvent]) -> None:
        """Queue an event; ``build`` runs on the emitter's thread, and neither delays the caller nor raises there."""
        with self._changed:
            if self._closing or len(self._queue) >= self._max_queued:
                self._counts["dropped"] += 1
                return
            self._queue.append(build)
            self._changed.notify()

    def counts(self) -> Mapping[str, int]:
        """Events by outcome, and how many are ``queued``."""
        with self._changed:
            return {outcome: self._counts[outcome] for outcome in SEND_OUTCOMES} | {"queued": len(self._queue)}

    def close(self, timeout_s: float) -> None:
        """Send queued events until the timeout, and drop the rest. A failing backend is tried once more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        with self._changed:
            left = len(self._queue)
            self._counts["dropped"] += left
            self._queue.clear()
        if left:
            _log.warning("lineage events dropped at the end", events=left)
        if not self._thread.is_alive():
            self._backend.close()

    def _run(self) -> None:
        while (build := self._next_event()) is not None:
            outcome = self._deliver(build)
            if outcome is None:
                return
            with self._changed:
                if self._queue and self._queue[0] is build:  # not when close() has cleared the queue meanwhile
                    self._queue.popleft()
                    self._counts[outcome] += 1

    def _next_event(self) -> Callable[[], RunEvent] | None:
        """The oldest event, which stays queued until it has an outcome. ``None`` at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            return self._queue[0] if self._queue else None

    def _deliver(self, build: Callable[[], RunEvent]) -> SendOutcome | None:
        """Send with retries until there is an outcome; ``None`` when the time is over."""
        wait_s = self._retry_s
        try:
            event = build()
        except Exception as error:  # noqa: BLE001 - a bug must end neither lineage nor the stream
            self._log_change("an event cannot be built", error)
            return "failed"
        while True:
            try:
                self._backend.send(event)
            except Rejected as error:
                self._log_change("the backend refuses an event", error)
                return "refused"
            except Unavailable as error:
                self._log_change("the backend does not answer; events that do not fit the queue are dropped", error)
            except Exception as error:  # noqa: BLE001 - retrying an unknown error would block all queued events
                self._log_change("an event cannot be sent", error)
                return "failed"
            else:
                self._log_change("")
                return "sent"
            if self._sleep(wait_s):
                wait_s = min(wait_s * 2, MAX_RETRY_S)
            else:
                return None

    def _sleep(self, seconds: float) -> bool:
        """Wait; false when closing instead."""
        until = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout=max(until - time.monotonic(), 0.0))
            return not self._closing

    def _log_change(self, problem: str, error: Exception | None = None) -> None:
        """Log a problem once, and its end once: a backend that is down must not fill the log."""
        if problem == self._problem:
            return
        self._problem = problem
        if error is None:
            _log.info("lineage events are accepted again")
            return
        reason = str(error) if isinstance(error, Rejected | Unavailable) else type(error).__name__
        _log.warning("lineage: " + problem, reason=reason)
