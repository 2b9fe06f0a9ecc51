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

AT_FIRST: Final = {
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

    def __init__(self, obstacles: Mapping[str, str] = AT_FIRST, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        now = clock()
        self._obstacles: dict[str, tuple[float, str]] = {name: (now, why) for name, why in obstacles.items()}
        self._beat: float | None = None
        self._most_s = 0.0

    def stands(self, what: str, why: str) -> None:
        """Something stands in the way. Said again, it goes on since the first time, with the newer words."""
        with self._lock:
            since, _ = self._obstacles.get(what, (self._clock(), ""))
            self._obstacles[what] = (since, why)

    def gone(self, what: str) -> None:
        """It does not any more; nothing happens when it never did."""
        with self._lock:
            self._obstacles.pop(what, None)

    def reasons(self) -> dict[str, str]:
        """Each obstacle with its words and for how long it has stood; empty when the worker is ready."""
        now, hangs = self._clock(), self.hangs()
        with self._lock:
            found = {what: f"{why} (for {now - since:.0f} s)" for what, (since, why) in self._obstacles.items()}
        return found | ({LOOP: hangs} if hangs else {})

    def beats(self, most_s: float) -> None:
        """The worker's loop goes on, and does so again within ``most_s``."""
        with self._lock:
            self._beat, self._most_s = self._clock(), most_s

    def rests(self) -> None:
        """The loop is elsewhere for as long as it takes: nothing is expected of it until it beats again."""
        with self._lock:
            self._beat = None

    def hangs(self) -> str:
        """For how long the loop has been silent, in words; empty while it goes on, rests, or has not begun."""
        with self._lock:
            silent_s = self._clock() - self._beat if self._beat is not None else 0.0
            return f"takes up nothing (for {silent_s:.0f} s)" if silent_s > self._most_s else ""
