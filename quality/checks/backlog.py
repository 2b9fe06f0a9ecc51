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
    """

    lag: int
    waiting_s: float = 0.0

    @property
    def stalled(self) -> bool:
        """True when the oldest record has waited longer than :data:`STALLED_S`."""
        return self.lag > 0 and self.waiting_s > STALLED_S


def combine_backlogs(backlogs: Collection[Backlog]) -> Backlog:
    """Sums the lags and keeps the longest wait."""
    return Backlog(
        sum(backlog.lag for backlog in backlogs), max((backlog.waiting_s for backlog in backlogs), default=0.0)
    )
