"""Whether a worker can take up records now, and if not, why: what ``/readyz`` answers.

A worker is ready when nothing stands in its way. Whoever knows of an obstacle puts it here and takes it away again; the
page only reads. ``/healthz`` is another question, whether the process is alive and through its start: a store that is
away makes a worker not ready, and to start it anew would mend nothing.
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
        now = self._clock()
        with self._lock:
            return {what: f"{why} (for {now - since:.0f} s)" for what, (since, why) in self._obstacles.items()}
