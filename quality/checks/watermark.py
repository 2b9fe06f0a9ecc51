"""Check ``watermark``: the newest event time of an hour against that of the source table. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from quality.checks.backlog import Backlog
from quality.checks.result import CheckResult, RawMetadataValue

MAX_CLOCK_SKEW_S: Final = 300.0
"""Tolerance for a source's clock that runs ahead."""


def check_watermark(
    watermark: datetime | None, source_watermark: datetime | None, backlog: Backlog, now: datetime
) -> CheckResult:
    """Fails when an hour's watermark is behind its source with a stalled backlog, or lies in the future.

    A watermark behind its source is no breach by itself: the last minutes of a call may be silence, an event may be
    quarantined. It is one when the backlog of the table's writers has stalled too.

    Args:
        watermark: newest event time in the hour; ``None`` without rows.
        source_watermark: that of the source table; ``None`` without a source, or without rows in the hour.
        backlog: the backlog of the table's writers; only used when the watermark is behind.
        now: the present.
    """
    metadata: dict[str, RawMetadataValue] = {"watermark": watermark.isoformat() if watermark is not None else ""}
    if source_watermark is not None:
        metadata["source_watermark"] = source_watermark.isoformat()
        if watermark is not None:
            metadata["behind_s"] = round(max((source_watermark - watermark).total_seconds(), 0.0), 3)
    ahead_s = (watermark - now).total_seconds() if watermark is not None else 0.0
    if ahead_s > MAX_CLOCK_SKEW_S:
        description = f"the newest event is {ahead_s:.0f} s in the future: a source's clock is wrong, and so is the gap"
        return CheckResult(passed=False, description=description, metadata=metadata | {"ahead_s": round(ahead_s, 3)})
    if not lags_source(watermark, source_watermark):
        description = "up to its source" if watermark is not None else "no rows in this hour"
        return CheckResult(passed=True, description=description, metadata=metadata)
    metadata |= {"lag": backlog.lag, "waiting_s": round(backlog.waiting_s, 3)}
    if backlog.stalled:
        description = f"the watermark has stalled: {backlog.lag} wait, the oldest for {backlog.waiting_s:.0f} s"
        return CheckResult(passed=False, description=description, metadata=metadata)
    return CheckResult(passed=True, description="behind its source, and nothing has stalled", metadata=metadata)


def lags_source(watermark: datetime | None, source_watermark: datetime | None) -> bool:
    """True when a table does not yet have everything of its source's hour."""
    return source_watermark is not None and (watermark is None or watermark < source_watermark)
