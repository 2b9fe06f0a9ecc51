"""How fresh everything has to be: two tables, read by the stream, the docs and Dagster alike.

The budgets are on the freshness gap, event by event. The windows are on liveness: how long a table may go without a
landing before somebody should look. A green window says nothing about the gap, and an old backfill turns it green;
that is why both exist.
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
class Window:
    """How long a table may go without a landing.

    Attributes:
        warn_s: seconds after which it is worth a look; ``None`` where that says nothing.
        fail_s: seconds after which something is broken; at least 60, for Dagster looks no closer.
    """

    fail_s: float
    warn_s: float | None = None


_MINUTE: Final = 60.0
_DAY: Final = 86_400.0
# Landings come every 15 s (the archiver's commit) and are reported every 30 s: five minutes are many missed ones.
_LIVE: Final = Window(warn_s=5 * _MINUTE, fail_s=15 * _MINUTE)

ASSET_WINDOWS: Final[dict[str, Window]] = {
    "raw_chats": _LIVE,
    "raw_calls": _LIVE,
    "raw_screenshots": _LIVE,
    "messages": _LIVE,
    "transcripts": _LIVE,
    "captions": _LIVE,
    "passages": _LIVE,
    "index": _LIVE,
    # Nothing set aside is good news; a month of it is rather a broken gate than a perfect world.
    "quarantine": Window(fail_s=31 * _DAY),
}
"""One window for each asset, by its key."""


@dataclass(frozen=True, slots=True)
class Daily:
    """When what is done once a day begins, and until when it must be done: hours and minutes of the day, UTC.

    Attributes:
        at: when its schedule starts it, as cron.
        deadline: when it must be done, as cron.
        within_s: how long before the deadline it may have been done.
    """

    at: str
    deadline: str
    within_s: float


# Reports first, of the day that ended; then what rewrites and deletes, at the quietest hours. Work of a day may take
# until the deadline at six, and what was done since midnight counts.
DAILY: Final[dict[str, Daily]] = {
    "freshness_report": Daily("30 1 * * *", "0 6 * * *", 6 * 3600.0),
    "cost_report": Daily("45 1 * * *", "0 6 * * *", 6 * 3600.0),
    "compaction": Daily("15 2 * * *", "0 6 * * *", 6 * 3600.0),
    "snapshot_expiry": Daily("15 3 * * *", "0 6 * * *", 6 * 3600.0),
    "event_log": Daily("15 4 * * *", "0 6 * * *", 6 * 3600.0),
}
"""One row for each upkeep asset, by its key."""

MOST_SET_ASIDE: Final = 20
"""Events in quarantine within an hour, above which the gate or a deriver is suspect rather than the events."""
