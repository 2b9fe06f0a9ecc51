"""Records that wait for the consumer groups behind a table, and the wait that counts as stalled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

STALLED_S: Final = 60.0
"""A record that has waited longer is not in the queue of a busy worker: no worker consumes it, or far too slowly."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Records that wait for one or several consumer groups.

    Attributes:
        lag: records behind, over all topic partitions.
        waiting_s: age on the log of the oldest of them; 0 when none waits.
        batching_s: time for which its consumer may collect records for a full write, before it commits them.
    """

    lag: int
    waiting_s: float = 0.0
    batching_s: float = 0.0

    @property
    def stalled(self) -> bool:
        """True when the oldest record has waited longer than :data:`STALLED_S` beyond what is by design."""
        return self.lag > 0 and self.waiting_s > STALLED_S + self.batching_s


def combine_backlogs(backlogs: Collection[Backlog]) -> Backlog:
    """Sums the lags, and keeps the longest wait, and the longest one beyond what is by design."""
    waiting_s = max((backlog.waiting_s for backlog in backlogs), default=0.0)
    overdue_s = max((backlog.waiting_s - backlog.batching_s for backlog in backlogs), default=0.0)
    return Backlog(sum(backlog.lag for backlog in backlogs), waiting_s, waiting_s - overdue_s)
