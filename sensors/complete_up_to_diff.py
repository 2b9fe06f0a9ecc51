"""From readings of the stream to what is reported: completeness and its check. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import AwareDatetime, Field

from quality.checks.complete_up_to import StreamReading, check_complete_up_to, incompleteness
from quality.checks.result import CheckResult
from quality.slas import ASSET_WINDOWS, LandingWindow
from sensors.cursors import SensorCursor

_MAX_INTERVAL: Final = timedelta(hours=6)


class CompleteUpToCursor(SensorCursor):
    """For each asset: complete up to, when it was last reported, and the last reported outcome."""

    version: Literal[1] = 1
    up_to: dict[str, AwareDatetime] = Field(default_factory=dict)
    reported: dict[str, AwareDatetime] = Field(default_factory=dict)
    passed: dict[str, bool] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CompletenessReport:
    """An asset to report: its check, and whether it counts as a materialization for the freshness policy."""

    asset: str
    up_to: datetime
    complete: bool
    result: CheckResult


def report_interval(window: LandingWindow) -> timedelta:
    """Return the time between two reports of a complete asset: half of what makes Dagster warn, at most six hours."""
    return min(timedelta(seconds=(window.warn_s or window.fail_s) / 2), _MAX_INTERVAL)


def diff_completeness(
    readings: Mapping[str, StreamReading], cursor: CompleteUpToCursor, now: datetime, unreadable: str = ""
) -> tuple[list[CompletenessReport], CompleteUpToCursor]:
    """Return what to report now, and the cursor after it.

    Args:
        readings: by asset; empty when log or stack could not be read.
        cursor: of the last tick.
        now: the time of the tick.
        unreadable: why nothing could be read.
    """
    up_to, reported, passed = dict(cursor.up_to), dict(cursor.reported), dict(cursor.passed)
    reports = []
    for asset, window in ASSET_WINDOWS.items():
        reading = readings.get(asset)
        if reading is not None and not reading.down:
            reached = reading.read_at - timedelta(seconds=reading.waiting_s)
            up_to[asset] = max(reached, up_to.get(asset, reached))
        if asset not in up_to:
            continue  # never read: nothing is known, and nothing is claimed
        reason = unreadable if reading is None else incompleteness(reading)
        result = check_complete_up_to(up_to[asset], now, window, reason)
        complete = reading is not None and reading.complete
        due = asset not in reported or now - reported[asset] >= report_interval(window)
        if due or passed.get(asset) is not result.passed:
            reports.append(CompletenessReport(asset, up_to[asset], complete, result))
            reported[asset], passed[asset] = now, result.passed
    return reports, CompleteUpToCursor(up_to=up_to, reported=reported, passed=passed)
