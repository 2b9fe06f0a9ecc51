"""Restart policy: the wait before a child is restarted, and when it is given up. Pure: the caller passes the time.

The wait doubles with each exit (0.5, 1, 2, 4 … 30 s) and is reset after a child stayed ready for a whole window. A
child that ends ``max_exits`` times within ``window_s``, or ``max_consecutive_exits`` times however slowly, is in a
crash loop: it stays down until it is retried.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Limits of restarting, in seconds. ``max_consecutive_exits`` counts exits without a window of being ready."""

    first_delay_s: float = 0.5
    max_delay_s: float = 30.0
    max_exits: int = 5
    window_s: float = 60.0
    max_consecutive_exits: int = 8


class ExitHistory:
    """Exits of one child."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._recent: deque[float] = deque(maxlen=policy.max_exits)
        self._consecutive = 0

    def record_exit(self, now: float, *, ready_for_s: float) -> float | None:
        """Count an exit; return the seconds to wait before the next start, or None for a crash loop."""
        if ready_for_s >= self._policy.window_s:
            self.reset()
        self._recent.append(now)
        self._consecutive += 1
        quickly = len(self._recent) == self._policy.max_exits and now - self._recent[0] <= self._policy.window_s
        if quickly or self._consecutive >= self._policy.max_consecutive_exits:
            return None
        # The exponent is bounded: 2.0 ** 1100 would overflow after a month of exits.
        return min(self._policy.max_delay_s, self._policy.first_delay_s * 2.0 ** min(self._consecutive - 1, 30))

    def reset(self) -> None:
        """Forget all exits."""
        self._recent.clear()
        self._consecutive = 0
