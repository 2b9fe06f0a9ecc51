"""Freshness promises: two tables, read by the stream, the docs and Dagster alike.

The budgets are on the freshness gap, event by event. The windows are on liveness: the longest time that a table may go
without a landing. A green window does not show the gap, and an old backfill turns it green; that is why both exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
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
_MAX_WINDOW_S: Final = 366 * _DAY
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
"""One window for each asset, by its key, where the settings name no other."""

MIN_WINDOW_S: Final = 60.0
"""Dagster's resolution."""


def landing_windows(text: str = "") -> dict[str, LandingWindow]:
    """Return the window of each asset: those of ``text`` replace the defaults.

    Args:
        text: ``asset=seconds`` or ``asset=warn/fail``, with commas between; a nightly table: ``transcripts=86400``.

    Raises:
        ValueError: an unknown asset or a wrong number; the message names it.
    """
    return {**ASSET_WINDOWS, **dict(_parse_windows(text))}


def _parse_windows(text: str) -> Iterator[tuple[str, LandingWindow]]:
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        asset, _, seconds = part.partition("=")
        if asset.strip() not in ASSET_WINDOWS:
            raise ValueError(f"`{part}` names none of {', '.join(ASSET_WINDOWS)}")
        warn, _, fail = seconds.rpartition("/")
        try:
            fail_s, warn_s = float(fail), float(warn) if warn else None
        except ValueError:
            fail_s, warn_s = 0.0, None
        given = (fail_s,) if warn_s is None else (warn_s, fail_s)
        if not all(MIN_WINDOW_S <= number <= _MAX_WINDOW_S for number in given):
            raise ValueError(f"`{part}` is not like `{asset.strip()}=900` or `{asset.strip()}=300/900`, from 60 s up")
        if warn_s is not None and warn_s >= fail_s:
            raise ValueError(f"`{part}` warns no earlier than it fails: write the shorter time first")
        yield asset.strip(), LandingWindow(fail_s=fail_s, warn_s=warn_s)


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


def next_deadline(daily: DailyDeadline, now: datetime) -> datetime:
    """Return the first deadline of a daily asset after a time."""
    minute, hour, *_ = daily.deadline_cron.split()
    deadline = now.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
    return deadline if deadline > now else deadline + timedelta(days=1)


MAX_QUARANTINED_PER_HOUR: Final = 20
"""Quarantined events within an hour, above which the gate or a deriver is suspect rather than the events."""
