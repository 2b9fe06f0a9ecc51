"""Check ``complete_up_to``: the time up to which a table has everything that the gateway acknowledged. Pure.

A freshness policy of Dagster counts materializations: an old backfill satisfies it, and a quiet table does not. This
check knows both cases, because it reads the log and not the events of Dagster.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from quality.checks.result import CheckResult
from quality.slas import LandingWindow


@dataclass(frozen=True, slots=True)
class StreamReading:
    """One look at the way of a table: log and workers.

    Attributes:
        read_at: before the log was read, so that everything acknowledged until then was in it.
        lag: records that wait for one of the table's consumer groups.
        waiting_s: age of the oldest of them; 0 when none waits.
        down: services on the way that are not ready.
    """

    read_at: datetime
    lag: int
    waiting_s: float
    down: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True when nothing waits, and all that would work on a new event is ready."""
        return self.lag == 0 and not self.down


def check_complete_up_to(up_to: datetime, now: datetime, window: LandingWindow, reason: str = "") -> CheckResult:
    """Fails when a table has been incomplete for longer than its window.

    Args:
        up_to: the newest time up to which the table was known to be complete.
        now: the time of the check.
        window: the window of the table's freshness policy.
        reason: why it is not complete up to now, in words; empty: it is.
    """
    age_s = max((now - up_to).total_seconds(), 0.0)
    suffix = f": {reason}" if reason else ""
    return CheckResult(
        passed=age_s <= window.fail_s,
        description=f"complete up to {up_to:%Y-%m-%d %H:%M:%S} UTC, {age_s:.0f} s ago{suffix}",
        metadata={"complete_up_to": up_to.isoformat(), "age_s": round(age_s, 1), "fail_s": window.fail_s},
    )


def incompleteness(reading: StreamReading) -> str:
    """Say why a table is not complete up to now; empty when it is."""
    if reading.down:
        return f"not ready: {', '.join(reading.down)}"
    return f"{reading.lag} records wait, the oldest for {reading.waiting_s:.0f} s" if reading.lag else ""
