"""Whether the watermark of one hour of a table is where it should be. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from quality.checks.verdict import STALLED_S, Backlog, Figure, Verdict

AHEAD_S: Final = 300.0
"""How far a source's clock may run ahead of ours."""


def moved(at: datetime | None, source: datetime | None, backlog: Backlog, now: datetime) -> Verdict:
    """Whether an hour's watermark has followed that of what the table is made from, and is no time to come.

    Behind is no breach by itself: the last minutes of a call may be silence, an event may be set aside. It is one when
    something also waits in vain for those who write the table.

    Args:
        at: newest event time in the hour; ``None`` where it has no rows.
        source: that of the table it is made from; ``None`` where there is none, or none in the hour.
        backlog: what waits for the writers; only looked at when the watermark is behind.
        now: the present.
    """
    figures: dict[str, Figure] = {"watermark": at.isoformat() if at is not None else ""}
    if source is not None:
        figures["source_watermark"] = source.isoformat()
        if at is not None:
            figures["behind_s"] = round(max((source - at).total_seconds(), 0.0), 3)
    if at is not None and (at - now).total_seconds() > AHEAD_S:
        ahead = (at - now).total_seconds()
        words = f"the newest event is {ahead:.0f} s in the future: a source's clock is wrong, and the gap with it"
        return Verdict(holds=False, words=words, figures=figures | {"ahead_s": round(ahead, 3)})
    if not behind(at, source):
        return Verdict(
            holds=True, words="up to its source" if at is not None else "no rows in this hour", figures=figures
        )
    figures |= {"lag": backlog.lag, "waiting_s": round(backlog.waiting_s, 3)}
    if backlog.lag and backlog.waiting_s > STALLED_S:
        words = f"the watermark stands still: {backlog.lag} wait, the oldest for {backlog.waiting_s:.0f} s"
        return Verdict(holds=False, words=words, figures=figures)
    return Verdict(holds=True, words="behind its source, and nothing waits in vain", figures=figures)


def behind(at: datetime | None, source: datetime | None) -> bool:
    """Whether a table has not everything of its source's hour."""
    return source is not None and (at is None or at < source)
