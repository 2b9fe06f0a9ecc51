"""Readiness of a worker: the blockers that ``/readyz`` answers.

A worker is ready when it has no blockers. The component that knows a blocker adds and removes it; the page only reads.
``/healthz`` answers whether the process runs and has started. A store that does not answer makes a worker not ready,
and a restart would not fix it. A restart does fix a loop that hangs: a thread of its own answers the page, so the loop
sends heartbeats, and their absence is reported.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

BROKER: Final = "broker"
MODELS: Final = "models"
ASSIGNMENT: Final = "assignment"
STORE: Final = "store"
DRAINING: Final = "draining"
LOOP: Final = "loop"

INITIAL_BLOCKERS: Final = {
    BROKER: "has not answered yet",
    MODELS: "models and stores are not open yet",
    ASSIGNMENT: "no topic partitions are assigned yet",
}


class Readiness:
    """Blockers of one worker. Thread-safe.

    Args:
        blockers: blockers before the first check; a worker's by default.
        clock: monotonic seconds.
    """

    def __init__(
        self, blockers: Mapping[str, str] = INITIAL_BLOCKERS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        now = clock()
        self._blockers: dict[str, tuple[float, str]] = {name: (now, why) for name, why in blockers.items()}
        self._last_heartbeat: float | None = None
        self._timeout_s = 0.0

    def block(self, name: str, reason: str) -> None:
        """Add a blocker. When it is there already, it keeps its start time and gets the newer reason."""
        with self._lock:
            since, _ = self._blockers.get(name, (self._clock(), ""))
            self._blockers[name] = (since, reason)

    def unblock(self, name: str) -> None:
        """Remove a blocker; does nothing when there is none."""
        with self._lock:
            self._blockers.pop(name, None)

    def reasons(self) -> dict[str, str]:
        """Each blocker with its reason and age; empty when the worker is ready."""
        now, hang_reason = self._clock(), self.hang_reason()
        with self._lock:
            found = {name: f"{reason} (for {now - since:.0f} s)" for name, (since, reason) in self._blockers.items()}
        return found | ({LOOP: hang_reason} if hang_reason else {})

    def heartbeat(self, timeout_s: float) -> None:
        """Report that the worker's loop runs; the next heartbeat is due within ``timeout_s``."""
        with self._lock:
            self._last_heartbeat, self._timeout_s = self._clock(), timeout_s

    def pause_heartbeat(self) -> None:
        """Suspend the timeout until the next heartbeat, while the loop is busy elsewhere."""
        with self._lock:
            self._last_heartbeat = None

    def hang_reason(self) -> str:
        """Time since the last heartbeat, in words; empty while the loop runs, is paused, or has not started."""
        with self._lock:
            silent_s = self._clock() - self._last_heartbeat if self._last_heartbeat is not None else 0.0
            return f"takes up nothing (for {silent_s:.0f} s)" if silent_s > self._timeout_s else ""
