"""Whether a worker can take up records now, and if not, why: what ``/readyz`` answers.

A worker is ready when nothing stands in its way. Whoever knows of an obstacle puts it here and takes it away again; the
page only reads. ``/healthz`` is another question, whether the process is alive and through its start: a store that is
away makes a worker not ready, and to start it anew would mend nothing. What a new start does mend is a loop that hangs:
the page is answered by a thread of its own, so the loop says itself that it goes on, and its silence is told.
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
    """The obstacles of one worker. Thread-safe.

    Args:
        obstacles: what stands in the way before anybody has looked; a worker's by default.
        clock: seconds that only grow.
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
        """Something stands in the way. Said again, it goes on since the first time, with the newer words."""
        with self._lock:
            since, _ = self._blockers.get(name, (self._clock(), ""))
            self._blockers[name] = (since, reason)

    def unblock(self, name: str) -> None:
        """It does not any more; nothing happens when it never did."""
        with self._lock:
            self._blockers.pop(name, None)

    def reasons(self) -> dict[str, str]:
        """Each obstacle with its words and for how long it has stood; empty when the worker is ready."""
        now, hang_reason = self._clock(), self.hang_reason()
        with self._lock:
            found = {name: f"{reason} (for {now - since:.0f} s)" for name, (since, reason) in self._blockers.items()}
        return found | ({LOOP: hang_reason} if hang_reason else {})

    def heartbeat(self, timeout_s: float) -> None:
        """The worker's loop goes on, and does so again within ``most_s``."""
        with self._lock:
            self._last_heartbeat, self._timeout_s = self._clock(), timeout_s

    def pause_heartbeat(self) -> None:
        """The loop is elsewhere for as long as it takes: nothing is expected of it until it beats again."""
        with self._lock:
            self._last_heartbeat = None

    def hang_reason(self) -> str:
        """For how long the loop has been silent, in words; empty while it goes on, rests, or has not begun."""
        with self._lock:
            silent_s = self._clock() - self._last_heartbeat if self._last_heartbeat is not None else 0.0
            return f"takes up nothing (for {silent_s:.0f} s)" if silent_s > self._timeout_s else ""
