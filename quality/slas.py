"""Freshness promises: two tables, read by the stream, the docs and Dagster alike.

The budgets are on the freshness gap, event by event. The windows are on liveness: the longest time that a table may go
without a landing. A green window does not show the gap, and an old backfill turns it green; that is why both exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sla:
    """A promise on the freshness gap.

    Attributes:
        gap_s: the budget in seconds, from the event's time (a call: the end of the utterance) to retrievable.
        share: the share of events that must be within the budget.
    """

    gap_s: float
    share: float = 0.99


MODALITY_SLAS: Final[dict[str, Sla]] = {
    "chat": Sla(gap_s=2.0),
    "screenshot": Sla(gap_s=5.0),
    "call": Sla(gap_s=5.0),
}


@dataclass(frozen=True, slots=True)
class LandingWindow:
    """The longest time that a table may go without a landing.

    Attributes:
        fail_s: seconds after which something is broken; at least 60, Dagster's resolution.
        warn_s: seconds after which it is worth a check; ``None`` where a pause means nothing.
    """

    fail_s: float
    warn_s: float | None = None


_MINUTE: Final = 60.0
_DAY: Final = 86_400.0
# Landings come every 15 s (the archiver's commit) and are reported every 30 s: five minutes are many missed ones.
_LIVE: Final = LandingWindow(warn_s=5 * _MINUTE, fail_s=15 * _MINUTE)

ASSET_WINDOWS: Final[dict[str, LandingWindow]] = {
    "raw_chats": _LIVE,
    "raw_calls": _LIVE,
    "raw_screenshots": _LIVE,
    "messages": _LIVE,
    "transcripts": _LIVE,
    "captions": _LIVE,
    "passages": _LIVE,
    "index": _LIVE,
    # An empty quarantine is good news; a month of it is rather a broken gate than a perfect world.
    "quarantine": LandingWindow(fail_s=31 * _DAY),
}
"""One window for each asset, by its key."""


@dataclass(frozen=True, slots=True)
class DailyDeadline:
    """Start and deadline of a daily asset: hours and minutes of the day, UTC.

    Attributes:
        cron: when its schedule starts it.
        deadline_cron: when it must be complete.
        within_s: how long before the deadline it may have been completed.
    """

    cron: str
    deadline_cron: str
    within_s: float


# Reports of the ended day first; then rewriting and deleting, at the quietest hours. A day's work may take until the
# deadline at six, and a run since midnight counts.
DAILY_DEADLINES: Final[dict[str, DailyDeadline]] = {
    "freshness_report": DailyDeadline("30 1 * * *", "0 6 * * *", 6 * 3600.0),
    "cost_report": DailyDeadline("45 1 * * *", "0 6 * * *", 6 * 3600.0),
    "compaction": DailyDeadline("15 2 * * *", "0 6 * * *", 6 * 3600.0),
    "snapshot_expiry": DailyDeadline("15 3 * * *", "0 6 * * *", 6 * 3600.0),
    "event_log": DailyDeadline("15 4 * * *", "0 6 * * *", 6 * 3600.0),
}
"""One row for each maintenance asset, by its key."""

MAX_QUARANTINED_PER_HOUR: Final = 20
"""Quarantined events within an hour, above which the gate or a deriver is suspect rather than the events."""
