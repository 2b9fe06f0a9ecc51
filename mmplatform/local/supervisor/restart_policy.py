"""When a child that died is started again, and when it is given up. Pure: the caller brings the time.

The wait doubles from death to death (0.5, 1, 2, 4 … 30 s) and starts afresh after a child stayed ready for a whole
window. A child that dies ``deaths`` times within ``window_s``, or ``in_a_row`` times however slowly, is in a crash
loop: it stays down until it is retried.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How patient the supervisor is; all times in seconds. ``in_a_row``: deaths without a window of being ready."""

    first_s: float = 0.5
    most_s: float = 30.0
    deaths: int = 5
    window_s: float = 60.0
    in_a_row: int = 8


class Deaths:
    """The deaths of one child."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._recent: deque[float] = deque(maxlen=policy.deaths)
        self._in_a_row = 0

    def died(self, now: float, *, ready_for_s: float) -> float | None:
        """Count a death; return the seconds to wait before the next start, or None for a crash loop."""
        if ready_for_s >= self._policy.window_s:
            self.forget()
        self._recent.append(now)
        self._in_a_row += 1
        quickly = len(self._recent) == self._policy.deaths and now - self._recent[0] <= self._policy.window_s
        if quickly or self._in_a_row >= self._policy.in_a_row:
            return None
        # The exponent is bounded: 2.0 ** 1100 would overflow after a month of deaths.
        return min(self._policy.most_s, self._policy.first_s * 2.0 ** min(self._in_a_row - 1, 30))

    def forget(self) -> None:
        """Start afresh."""
        self._recent.clear()
        self._in_a_row = 0
