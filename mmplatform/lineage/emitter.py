"""Brings lineage events to their backend without ever holding up whoever has something to tell.

Events wait in a bounded queue and leave it in order, on a thread of its own. A backend that is away is tried again and
again with the event that is due; meanwhile the queue fills, and what does not fit is dropped and counted. Whatever goes
wrong, :meth:`Emitter.emit` returns at once and raises nothing.
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
"""Events: a minute's worth takes 60 (two for each of 8 tables, four commits), so that a quarter of an hour fits."""

RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 30.0

SendOutcome = Literal["sent", "refused", "dropped", "failed"]
"""Refused by the backend, dropped for want of room or time, or never made because making it raised."""

SEND_OUTCOMES: Final[tuple[SendOutcome, ...]] = ("sent", "refused", "dropped", "failed")


class LineageBackend(Protocol):
    """Where events go."""

    def send(self, event: RunEvent) -> None:
        """Send one. Raises ``Rejected`` when it will never be taken, ``Unavailable`` when it may be later."""

    def close(self) -> None:
        """Let go of connections."""


class LineageEmitter:
    """A queue and the thread that empties it. Safe to call from several threads."""

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
        """Queue an event; ``make`` runs on the emitter's thread: neither its time nor its error is the caller's."""
        with self._changed:
            if self._closing or len(self._queue) >= self._max_queued:
                self._counts["dropped"] += 1
                return
            self._queue.append(build)
            self._changed.notify()

    def counts(self) -> Mapping[str, int]:
        """How many events had which outcome, and how many are ``queued``."""
        with self._changed:
            return {outcome: self._counts[outcome] for outcome in SEND_OUTCOMES} | {"queued": len(self._queue)}

    def close(self, timeout_s: float) -> None:
        """Send what waits, for so long at most; what is left is dropped. A backend that is away is asked once more."""
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
                if self._queue and self._queue[0] is build:  # not when close() gave up while we were at it
                    self._queue.popleft()
                    self._counts[outcome] += 1

    def _next_event(self) -> Callable[[], RunEvent] | None:
        """The oldest event; it stays in the queue until it is done with. ``None`` at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            return self._queue[0] if self._queue else None

    def _deliver(self, build: Callable[[], RunEvent]) -> SendOutcome | None:
        """Until it has an outcome; ``None`` when there is no time left to find one."""
        wait_s = self._retry_s
        try:
            event = build()
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end lineage, let alone the stream
            self._log_change("an event cannot be made", error)
            return "failed"
        while True:
            try:
                self._backend.send(event)
            except Rejected as error:
                self._log_change("the backend refuses an event", error)
                return "refused"
            except Unavailable as error:
                self._log_change("the backend does not answer; what does not fit the queue is dropped", error)
            except Exception as error:  # noqa: BLE001 - tried again, an unknown error would hold up all that waits
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
        """Wait; false when we are to end instead."""
        until = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout=max(until - time.monotonic(), 0.0))
            return not self._closing

    def _log_change(self, problem: str, error: Exception | None = None) -> None:
        """Say once what is wrong, and once that it is over: a dead backend must not fill the log either."""
        if problem == self._problem:
            return
        self._problem = problem
        if error is None:
            _log.info("lineage events are taken again")
            return
        reason = str(error) if isinstance(error, Rejected | Unavailable) else type(error).__name__
        _log.warning("lineage: " + problem, reason=reason)
